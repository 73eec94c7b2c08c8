"""Servers and workers as processes of their own, which tests start, kill, freeze and stop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.support.waiting import eventually_sync

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 40
STOP_SECONDS = 60


class Process:
    """A program of ours that runs until it is told to stop, with its log in a file.

    Args:
        arguments: The command, after the Python interpreter.
        log: File that takes what it prints.
        environment: Variables beside those of the test run; none of the test run's REJOINDER_* are handed on.
    """

    def __init__(
        self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        self.arguments = [sys.executable, *arguments]
        self.log = log
        self._cwd = cwd
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("REJOINDER_")
        } | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[int]:
        """Return the ids of the processes that it has started, and of theirs."""
        return [child.pid for child in psutil.Process(self.pid).children(recursive=True)] if self.is_running else []

    def start(self) -> None:
        """Start it, in a group of its own so that `kill` reaches its children."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._cwd,
                env=self._environment,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and its children at once, without a chance to clean up."""
        self._signal_group(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self.is_running:
            os.kill(self.pid, number)

    def wait(self, *, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        return self._process.wait(timeout)

    def text(self) -> str:
        """Return all that it has printed."""
        return self.log.read_text(errors="replace")

    def records(self) -> list[dict[str, object]]:
        """Return the JSON records that it has logged."""
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]

    def await_record(self, event: str, *, after: int = 0) -> dict[str, object]:
        """Wait for a log record and return it.

        Args:
            event: The record's message.
            after: How many such records to pass over.
        """

        def found() -> dict[str, object] | None:
            matches = [record for record in self.records() if record.get("event") == event]
            if len(matches) > after:
                return matches[after]
            assert self.is_running, f"ended before it logged {event!r}:\n{self.text()[-4000:]}"
            return None

        record = eventually_sync(found, timeout=START_SECONDS)
        assert record is not None
        return record

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


class Server(Process):
    """A `rejoinder-server` on a free port; the port stays when it is started again."""

    def __init__(
        self, *arguments: str, log: Path, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        self._given = arguments
        self._listen = "127.0.0.1:0"
        self._starts = 0
        self.metrics_address = ""
        super().__init__([], log=log, environment=environment, cwd=cwd)

    @property
    def address(self) -> str:
        """Where it serves gRPC."""
        return self._listen

    def start(self, *, wait: bool = True) -> None:
        """Start it and wait until it serves."""
        self.arguments = [
            sys.executable,
            "-m",
            "rejoinder_server",
            "--log-format=json",
            f"--listen={self._listen}",
            "--metrics-listen=127.0.0.1:0",
            *self._given,
        ]
        super().start()
        if wait:
            self.await_start()

    def await_start(self) -> None:
        """Wait until it serves."""
        self._listen = str(self.await_record("serving", after=self._starts)["address"])
        self.metrics_address = str(self.await_record("serving metrics", after=self._starts)["address"])
        self._starts += 1


class Worker(Process):
    """A `rejoinder-worker` with its processes."""

    def __init__(
        self, *arguments: str, log: Path, environment: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        command = ["-m", "rejoinder_worker", "--log-format=json", *arguments]
        super().__init__(command, log=log, environment=environment, cwd=cwd)
