"""A worker process as its supervisor sees it."""

import asyncio
import contextlib
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence

from rejoinder_worker.process import Orders

_LOADED = b"loaded"


class Child:
    """A worker process and the channel to it; end it with `wait`.

    Args:
        worker: Name of the worker process.
        process: The process.
        reader: What the process says.
        writer: What the process is told.
    """

    def __init__(
        self, worker: str, *, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.worker = worker
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def spawn(cls, command: Sequence[str], *, orders: Callable[[int], Orders]) -> "Child":
        """Start a process.

        Args:
            command: Program and arguments, to which the number of the channel is added.
            orders: Makes the process's orders from its process id.

        Raises:
            OSError: The machine does not let it.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *command, str(theirs.fileno()), pass_fds=[theirs.fileno()], stdin=DEVNULL
                )
        except BaseException:
            ours.close()
            raise
        reader, writer = await asyncio.open_connection(sock=ours)
        given = orders(process.pid)
        child = cls(given.worker, process=process, reader=reader, writer=writer)
        child._tell(given.to_line())
        return child

    async def loaded(self) -> bool:
        """Wait until its handlers are imported; False when it ends before."""
        with contextlib.suppress(ConnectionError):
            return (await self._reader.readline()).strip() == _LOADED
        return False

    async def wait(self) -> int:
        """Wait for its end; returns the exit status, or a signal's number below zero."""
        status = await self._process.wait()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        return status

    def stop(self) -> None:
        """Ask it to let its handlers finish."""
        self._tell(b"stop\n")

    def hurry(self) -> None:
        """Ask it to stop without waiting."""
        self._tell(b"now\n")

    def kill(self) -> None:
        """End it by force."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _tell(self, line: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(line)


def describe(status: int) -> str:
    """Say in words how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
