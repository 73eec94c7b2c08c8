"""Frames on a socket: four bytes of length, big endian, and a LocalFrame."""

import asyncio
import contextlib

from rejoinder.worker.v1.worker_pb2 import LocalFrame
from rejoinder_broker.port import BrokerUnavailable
from rejoinder_broker.reading import MAX_MESSAGE_BYTES, check_size

_HEAD_BYTES = 4
_ROOM_BYTES = 1024 * 1024
_MOST_BUFFERED_BYTES = 64 * 1024 * 1024
_CLOSE_SECONDS = 5.0


class Wire:
    """One end of a connection, which frames are written to at once and read from one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def has_room(self) -> bool:
        """Whether the other end keeps up with what is written."""
        return not self._writer.is_closing() and self._writer.transport.get_write_buffer_size() < _ROOM_BYTES

    def write(self, frame: LocalFrame) -> None:
        """Write a frame behind all earlier ones.

        Raises:
            BrokerRefused: The frame is too large.
            BrokerUnavailable: The connection is closing, or is closed now because the other end does not read.
        """
        body = check_size(frame.SerializeToString())
        if self._writer.is_closing():
            raise BrokerUnavailable("The connection is closing.")
        self._writer.write(len(body).to_bytes(_HEAD_BYTES, "big") + body)
        if self._writer.transport.get_write_buffer_size() > _MOST_BUFFERED_BYTES:
            self.cut()
            raise BrokerUnavailable("The other end does not read.")

    async def read(self) -> bytes:
        """Read the body of the next frame.

        Raises:
            BrokerUnavailable: The connection has ended, or the frame is too large.
        """
        try:
            size = int.from_bytes(await self._reader.readexactly(_HEAD_BYTES), "big")
            if size > MAX_MESSAGE_BYTES:
                raise BrokerUnavailable(f"The other end sent a frame of {size} bytes.")
            return await self._reader.readexactly(size)
        except (OSError, EOFError) as error:
            raise BrokerUnavailable("The other end closed the connection.") from error

    def cut(self) -> None:
        """End the connection without sending what is still buffered."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Send what is buffered, as far as the other end takes it soon, and end the connection."""
        self._writer.close()
        with contextlib.suppress(OSError):  # a timeout is one
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._writer.wait_closed()
        self.cut()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
