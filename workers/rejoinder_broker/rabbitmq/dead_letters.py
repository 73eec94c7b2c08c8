"""Keeping what could not be read or recorded, for people to look at."""

import asyncio

from rejoinder_broker.reading import MAX_MESSAGE_BYTES

from .publisher import Outgoing, Publisher, retrieve
from .topology import Topology

KEPT_BYTES = 64 * 1024
"""What is kept of a message that is larger than any that this package sends."""
_ERROR_LENGTH = 1_024  # headers have to fit into one frame


class DeadLetters:
    """The way into the queue of dead letters."""

    def __init__(self, publisher: Publisher, topology: Topology) -> None:
        self._publisher = publisher
        self._queue = topology.dead.name

    def bury(self, body: bytes, *, source: str, error: str) -> "asyncio.Future[bool]":
        """Keep a message with the queue that it came from and a line that says what was wrong with it.

        Of one over the limit only the beginning is kept, with its size: it was never ours, and no message may be so odd
        that its burial fails.
        """
        headers = {"rejoinder-source": source, "rejoinder-error": error[:_ERROR_LENGTH]}
        if len(body) > MAX_MESSAGE_BYTES:
            headers["rejoinder-size"] = str(len(body))
            body = body[:KEPT_BYTES]
        return self._publisher.send(Outgoing(body, self._queue, mandatory=True, durable=True, headers=headers))

    async def bury_within(self, seconds: float, body: bytes, *, source: str, error: str) -> bool:
        """Keep a message, and return whether it is known to be kept."""
        buried = self.bury(body, source=source, error=error)
        await asyncio.wait({buried}, timeout=seconds)
        if not buried.done():
            buried.cancel()
        return not buried.cancelled() and buried.exception() is None and buried.result()

    def bury_and_forget(self, body: bytes, *, source: str, error: str) -> None:
        """Keep a message if the broker takes it; it was worth little."""
        self.bury(body, source=source, error=error).add_done_callback(retrieve)
