"""One AMQP channel whose calls can be awaited."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pika.exceptions  # type: ignore[import-untyped]  # published without types

from rejoinder_broker.port import BrokerError, BrokerUnavailable

from .refusals import classify_close
from .topology import Queue

_CLOSE_SECONDS = 5.0
_CALL_SECONDS = 30.0  # a quorum queue that elects its leader answers late


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered and, unless its consumer needs no acknowledgement, must be answered.

    It knows its channel: once that is closed the broker has taken the message back, and another channel's tag of the
    same number means another message.
    """

    channel: "Channel"
    tag: int
    body: bytes

    def ack(self, *, multiple: bool = False) -> None:
        """Take the message out of its queue, with all earlier ones of the channel if multiple."""
        self.channel.answer("basic_ack", self.tag, multiple=multiple)

    def give_back(self) -> None:
        """Return the message to its queue."""
        self.channel.answer("basic_nack", self.tag, requeue=True)

    def reject(self) -> None:
        """Take the message out of its queue; the broker dead-letters it where the queue says so."""
        self.channel.answer("basic_nack", self.tag, requeue=False)


class UnansweredError(BrokerUnavailable):
    """The broker did not answer a call; the channel is of no more use, since its calls wait for one another."""


class Channel:
    """An open channel.

    Attributes:
        closed: Done when the channel has ended, for whatever reason.
    """

    def __init__(self, channel: Any) -> None:
        self.closed: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self._channel = channel
        self._on_cancelled: dict[str, Callable[[], None]] = {}
        channel.add_on_close_callback(self._note_close)
        channel.add_on_cancel_callback(self._note_cancelled)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent and answered on it."""
        return bool(self._channel.is_open)

    async def wait_for(self, reply: "asyncio.Future[None]") -> None:
        """Wait until the broker has replied.

        Raises:
            BrokerError: The channel was closed instead.
            UnansweredError: Nothing came in time.
        """
        either: set[asyncio.Future[Any]] = {reply, self.closed}
        await asyncio.wait(either, timeout=_CALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return
        if self.closed.done():
            raise self.closed.result()
        raise UnansweredError("RabbitMQ did not answer in time.")

    async def declare_queue(self, queue: Queue) -> None:
        """Make sure that a queue exists, with its arguments."""
        await self._call(
            self._channel.queue_declare,
            queue=queue.name,
            durable=not queue.exclusive,
            exclusive=queue.exclusive,
            auto_delete=queue.exclusive,
            arguments=dict(queue.arguments),
        )

    async def declare_fanout(self, exchange: str) -> None:
        """Make sure that a fanout exchange exists."""
        await self._call(self._channel.exchange_declare, exchange=exchange, exchange_type="fanout", durable=True)

    async def bind(self, queue: str, *, exchange: str) -> None:
        """Have an exchange copy its messages to a queue."""
        await self._call(self._channel.queue_bind, queue=queue, exchange=exchange)

    async def limit_prefetch(self, count: int) -> None:
        """Set how many unanswered messages each consumer that begins after this may hold."""
        await self._call(self._channel.basic_qos, prefetch_count=count)

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        on_cancelled: Callable[[], None],
        acknowledged: bool = True,
    ) -> str:
        """Begin to consume and return the consumer's tag.

        Args:
            queue: Name of the queue.
            on_delivery: Takes each message.
            on_cancelled: Called when the broker ends the consumer by itself, as when the queue is deleted.
            acknowledged: Whether each message has to be answered.
        """

        def deliver(_channel: Any, method: Any, _properties: Any, body: bytes) -> None:
            on_delivery(Delivery(self, method.delivery_tag, body))

        tag: str = await self._call(
            self._channel.basic_consume, queue=queue, on_message_callback=deliver, auto_ack=not acknowledged
        )
        self._on_cancelled[tag] = on_cancelled
        return tag

    async def cancel(self, tag: str) -> None:
        """End a consumer; what was on its way to it goes back to the queue."""
        if self._on_cancelled.pop(tag, None) is not None:
            await self._call(self._channel.basic_cancel, consumer_tag=tag)

    async def confirm(self, on_confirm: Callable[[Any], None], on_return: Callable[[Any], None]) -> None:
        """Have the broker confirm each message; `on_return` takes the properties of one that no queue took."""
        self._channel.add_on_return_callback(lambda _channel, _method, properties, _body: on_return(properties))
        await self._call(self._channel.confirm_delivery, ack_nack_callback=on_confirm)

    def publish(self, exchange: str, routing_key: str, body: bytes, properties: Any, *, mandatory: bool) -> None:
        """Send a message on a channel that is open."""
        self._channel.basic_publish(exchange, routing_key, body, properties, mandatory)

    def answer(self, method: str, tag: int, **arguments: bool) -> None:
        """Answer a delivery, unless the broker has taken it back already."""
        if self._channel.is_open:
            getattr(self._channel, method)(tag, **arguments)

    async def close(self) -> None:
        """Close; the broker takes back in order what was not answered."""
        self.keep_consumers()
        if self._channel.is_open:
            self._channel.close()
        if not self.closed.done():
            await asyncio.wait({self.closed}, timeout=_CLOSE_SECONDS)

    def keep_consumers(self) -> None:
        """Have the close of the channel, or of its connection, be the end of its consumers too.

        pika cancels the consumers of a channel before it closes it. RabbitMQ makes the next server the single active
        consumer at the cancel, gives it later events, and takes back the earlier ones only at the close.
        """
        self._channel._consumers.clear()  # noqa: SLF001 - pika offers no close without cancels

    async def _call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        replied: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            result = method(**arguments, callback=settler(replied))
        except pika.exceptions.AMQPError as error:
            raise BrokerUnavailable("The channel is closed.") from error
        await self.wait_for(replied)
        return result

    def _note_close(self, _: Any, error: BaseException) -> None:
        if not self.closed.done():
            self.closed.set_result(classify_close(error))

    def _note_cancelled(self, frame: Any) -> None:
        on_cancelled = self._on_cancelled.pop(frame.method.consumer_tag, None)
        if on_cancelled is not None:
            on_cancelled()


def settler(reply: "asyncio.Future[None]") -> Callable[[object], None]:
    """Return a callback that notes that a reply has come, also when nobody waits for it any more."""

    def settle(_: object) -> None:
        if not reply.done():
            reply.set_result(None)

    return settle
