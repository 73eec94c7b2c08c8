"""What one consumer has been given and nobody has taken yet."""

import asyncio
from collections import deque

from rejoinder_broker.batching import take_batch
from rejoinder_broker.port import BrokerUnavailable

from .channel import Channel, Delivery


def _size(delivery: Delivery) -> int:
    return len(delivery.body)


class Inbox:
    """Deliveries in their order, bounded by the channel's prefetch, taken in batches."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._arrived: deque[Delivery] = deque()
        self._something = asyncio.Event()
        self._has_ended = False
        self._was_cancelled = False
        channel.closed.add_done_callback(lambda _: self._something.set())

    @classmethod
    async def open(cls, channel: Channel, queue: str, *, prefetch: int) -> "Inbox":
        """Begin to consume a queue on a channel of its own.

        Raises:
            BrokerError: The broker does not let it.
        """
        inbox = cls(channel)
        await channel.limit_prefetch(prefetch)
        await channel.consume(queue, inbox._take, on_cancelled=inbox._note_cancelled)
        return inbox

    async def batch(self, most: int, *, most_bytes: int) -> list[Delivery]:
        """Wait until there is something and take some of it; nothing means that the inbox was ended.

        Args:
            most: Most deliveries.
            most_bytes: Most bytes of bodies in all; one delivery is taken however large it is.

        Raises:
            BrokerError: The channel was closed, or the broker ended the consumer.
        """
        while not (self._arrived or self._has_ended):
            self._raise_if_lost()
            self._something.clear()
            await self._something.wait()
        # What has arrived on a channel that is gone since will be delivered again: it is not taken.
        self._raise_if_lost()
        return [] if self._has_ended else take_batch(self._arrived, most=most, most_bytes=most_bytes, size=_size)

    def end(self) -> None:
        """Take nothing more; what nobody has taken goes back when the channel closes."""
        self._has_ended = True
        self._something.set()

    def _take(self, delivery: Delivery) -> None:
        self._arrived.append(delivery)
        self._something.set()

    def _note_cancelled(self) -> None:
        self._was_cancelled = True
        self._something.set()

    def _raise_if_lost(self) -> None:
        if self._has_ended:
            return
        if self._channel.closed.done():
            raise self._channel.closed.result()
        if self._was_cancelled:
            raise BrokerUnavailable("The broker ended the consumer; the queue was deleted.")
