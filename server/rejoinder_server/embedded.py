"""The worker of an embedded server: a supervised child process, so that handlers cannot hurt the server."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence

import structlog

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0
STOP_SECONDS = 40.0
ECHO = "rejoinder_worker.echo"


class EmbeddedWorker:
    """Runs `rejoinder-worker` as a child that speaks to the local broker, and starts it again when it ends.

    The child ends by itself when this process dies: the pipe on its standard input closes then.
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
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=subprocess.PIPE, stdout=sys.stderr, env=self._environment()
            )
            code = await self._process.wait()
            if self._is_stopping:
                return
            if code == 2:
                raise WorkerRefused("the embedded worker could not start, see its message above")
            log.warning("embedded worker ended, starting it again", code=code)
            await asyncio.sleep(RESTART_SECONDS)

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

    def _environment(self) -> dict[str, str]:
        """Hand on the environment but for what is the server's own."""
        return {name: value for name, value in os.environ.items() if not name.startswith("REJOINDER_STORE")}


class WorkerRefused(Exception):
    """The embedded worker can never run like this."""
