"""The worker of an embedded server: a supervised child process, so that handlers cannot hurt the server."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence

import structlog

from rejoinder_broker.settings import PREFIX

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0
STOP_SECONDS = 40.0
ECHO = "rejoinder_worker.echo"


class EmbeddedWorker:
    """Runs `rejoinder-worker` as a child that speaks to the local broker, and starts it again when it ends.

    The child ends by itself when this process dies, because a pipe that it holds one end of closes then.
    """

    def __init__(self, *, broker_url: str, handlers: Sequence[str], arguments: Sequence[str]) -> None:
        self._command = [
            sys.executable,
            "-m",
            "rejoinder_worker",
            *(handlers or [ECHO]),
            "--broker",
            broker_url,
            *arguments,
        ]
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """Keep the child running until `stop`.

        Raises:
            WorkerRefused: The child says that it can never run like this.
        """
        while not self._is_stopping:
            try:
                code = await self._run_once()
            except OSError as error:
                log.warning("embedded worker not started, trying again", detail=str(error))
            else:
                if self._is_stopping:
                    return
                if code == 2:
                    raise WorkerRefused("the embedded worker could not start, see its message above")
                log.warning("embedded worker ended, starting it again", code=code)
            await asyncio.sleep(RESTART_SECONDS)

    async def _run_once(self) -> int:
        """Run the child to its end and return its exit code; the machine may have no process to spare."""
        child_end, own_end = os.pipe()
        try:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    f"--exit-with-parent={child_end}",
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,
                    env=_environment(),
                    pass_fds=[child_end],
                )
            finally:
                os.close(child_end)
            return await self._process.wait()
        finally:
            os.close(own_end)

    async def stop(self) -> None:
        """Ask the child to end, and wait for it."""
        self._is_stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class WorkerRefused(Exception):
    """The embedded worker can never run like this."""


def _environment() -> dict[str, str]:
    """Return the environment without the server's own variables: a worker has no store credentials."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
