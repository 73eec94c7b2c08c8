"""Starts the programs of a demonstration and stops every one of them, whatever happens."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
LOG_LINES = 20


class ProgramEnded(Exception):
    """A program ended that should run."""


class Program:
    """One running program.

    Args:
        command: The program and its arguments.
        folder: Where it runs.
        log: File that takes what it prints.
        settings: Environment variables beside those that every program gets.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, log: Path, settings: Mapping[str, str]) -> None:
        self.name = Path(command[0]).name
        self._log = log
        with log.open("ab") as output:
            # In a session of its own: Ctrl-C is for the demonstration, which then stops its programs in order.
            self._process = subprocess.Popen(  # noqa: S603 - the demonstration's own commands
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment() | dict(settings),
            )

    def check(self) -> None:
        """Complain when it has ended.

        Raises:
            ProgramEnded: It has; the message holds its last lines.
        """
        status = self._process.poll()
        if status is not None:
            raise ProgramEnded(f"{self.name} ended with status {status}; it said last:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES:])

    def ask_to_stop(self) -> None:
        """Send SIGTERM; returns at once."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self, *, by: float) -> None:
        """Wait for its end, and end it with all its children when the time (of the monotonic clock) has come."""
        try:
            self._process.wait(max(0.0, by - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Programs:
    """The running programs; leaving the context stops them all.

    Args:
        folder: Where they run and find modules.
        logs: Folder for what they print.
    """

    def __init__(self, *, folder: Path, logs: Path) -> None:
        self._folder = folder
        self._logs = logs
        self._running: list[Program] = []

    def start(self, *command: str, settings: Mapping[str, str] | None = None) -> str:
        """Start a program of this Python environment.

        Args:
            *command: Its name and arguments.
            settings: Environment variables that it gets, for what is not for everyone to see.

        Returns:
            The command as one would type it.
        """
        name, *arguments = command
        log = self._logs / f"{len(self._running) + 1}-{name}.log"
        program = Program([executable(name), *arguments], folder=self._folder, log=log, settings=settings or {})
        self._running.append(program)
        return shlex.join(command)

    def wait_until(self, is_ready: Callable[[], bool], *, what: str, seconds: float = 60.0) -> None:
        """Wait for something that the programs bring about.

        Raises:
            ProgramEnded: One of them ended first.
            TimeoutError: It took too long.
        """
        end = time.monotonic() + seconds
        while not is_ready():
            for program in self._running:
                program.check()
            if time.monotonic() > end:
                said = "\n".join(f"{program.name}:\n{program.last_words()}" for program in self._running)
                raise TimeoutError(f"waited {seconds:.0f} s for {what}; the programs said last:\n{said}")
            time.sleep(POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end = time.monotonic() + STOP_SECONDS
        for program in reversed(self._running):
            program.ask_to_stop()
        for program in reversed(self._running):
            program.stop(by=end)


def executable(name: str) -> str:
    """Return a command of this Python environment."""
    return str(Path(sys.executable).with_name(name))


def environment() -> dict[str, str]:
    """Return the environment for programs: no settings of the user's own, and no files written beside modules.

    The demonstration counts those folders, and counts them again.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REJOINDER_")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def free_address() -> str:
    """Return a loopback address whose port is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
