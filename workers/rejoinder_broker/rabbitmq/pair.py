"""Two connections that live and end together."""

import asyncio

import pika  # type: ignore[import-untyped]  # published without types

from rejoinder_broker.port import BrokerRefused

from .channel import Channel
from .connection import Connection
from .publisher import Publisher
from .topology import Queue, Topology


class Pair:
    """A connection to consume on and one to publish on, since an alarm blocks those that publish.

    Attributes:
        lost: Done when either has ended, or a channel that nothing goes without; the result is a line for people.
        publisher: What must arrive, or be known not to have arrived.
        lossy: What is dropped when it cannot be sent at once; apart, so that slow confirms of events do not delay it.
    """

    def __init__(self, consuming: Connection, publishing: Connection) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.publisher: Publisher
        self.lossy: Publisher
        self._consuming = consuming
        self._publishing = publishing

    @classmethod
    async def open(cls, parameters: pika.connection.Parameters, *, name: str) -> "Pair":
        """Open both, under a name that RabbitMQ's tools show.

        Raises:
            BrokerError: Either could not be opened; neither is left open.
        """
        consuming = await Connection.open(parameters, name=f"{name}, consuming")
        try:
            pair = cls(consuming, await Connection.open(parameters, name=f"{name}, publishing"))
        except BaseException:
            await consuming.close()
            raise
        try:
            await pair._open_publishers()
        except BaseException:
            await pair.close()
            raise
        return pair

    @property
    def version(self) -> tuple[int, ...]:
        """Version of the broker."""
        return self._consuming.version

    def lose(self, detail: str) -> None:
        """Declare the pair lost."""
        if not self.lost.done():
            self.lost.set_result(detail)

    async def channel(self) -> Channel:
        """Open a channel to consume on, whose end does not end the pair."""
        return await self._consuming.channel()

    async def vital_channel(self) -> Channel:
        """Open a channel to consume on, whose end ends the pair."""
        channel = await self.channel()
        channel.closed.add_done_callback(lambda closed: self.lose(str(closed.result())))
        return channel

    async def close(self) -> None:
        """Close both."""
        self.lose("The connection was closed.")
        await asyncio.gather(self._publishing.close(), self._consuming.close())

    async def _open_publishers(self) -> None:
        self.publisher = await Publisher.open(self._publishing, on_stalled=self.lose)
        self.lossy = await Publisher.open(self._publishing, on_stalled=self.lose)
        for ended in (self._consuming.lost, self._publishing.lost, self.publisher.closed, self.lossy.closed):
            ended.add_done_callback(lambda ended: self.lose(str(ended.result())))


async def declare_shared(pair: Pair, topology: Topology) -> None:
    """Make sure that the queues that servers and workers share exist, whoever comes first."""
    channel = await pair.channel()
    try:
        await channel.declare_queue(topology.dead)
        await channel.declare_queue(topology.claims)
    finally:
        await channel.close()
    await declare_events(pair, topology)


async def declare_events(pair: Pair, topology: Topology) -> None:
    """Make sure that the events queue exists, with the best arguments that the broker accepts."""
    *preferred, plain = topology.events(pair.version)
    for queue in preferred:
        if await _accepts(pair, queue):
            return
    channel = await pair.channel()
    try:
        await channel.declare_queue(plain)
    finally:
        await channel.close()


async def _accepts(pair: Pair, queue: Queue) -> bool:
    channel = await pair.channel()
    try:
        await channel.declare_queue(queue)
    except BrokerRefused:
        return False
    finally:
        await channel.close()
    return True
