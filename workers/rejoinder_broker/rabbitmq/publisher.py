"""Sending with pipelined confirms."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pika  # type: ignore[import-untyped]  # published without types
import pika.spec  # type: ignore[import-untyped]  # published without types

from rejoinder_broker.port import BrokerError, BrokerUnavailable
from rejoinder_broker.reading import check_size

from .channel import Channel
from .connection import Connection

WINDOW = 1_000
"""Messages that may be unconfirmed at once."""
_WINDOW_BYTES = 16 * 1024 * 1024
_WAITING = 10_000
_STALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send.

    Attributes:
        exchange: Where to; the empty name is the exchange that knows every queue.
        routing_key: Name of the queue, with the empty exchange.
        mandatory: Whether to hear that no queue took it.
        durable: Whether it survives a restart of the broker in a durable queue.
        ttl_milliseconds: Age at which a queue drops it.
        headers: What people read beside the body.
    """

    body: bytes
    routing_key: str
    exchange: str = ""
    mandatory: bool = False
    durable: bool = False
    ttl_milliseconds: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Unconfirmed:
    result: "asyncio.Future[bool]"
    size: int
    sent_at: float
    was_returned: bool = False


class Publisher:
    """The messages sent on one channel, in the order of the calls, until each is confirmed."""

    def __init__(self, channel: Channel, connection: Connection, *, on_stalled: Callable[[str], None]) -> None:
        self._channel = channel
        self._connection = connection
        self._on_stalled = on_stalled
        self._loop = asyncio.get_running_loop()
        self._tags = itertools.count(1)
        self._waiting: deque[tuple[Outgoing, asyncio.Future[bool]]] = deque()
        self._unconfirmed: dict[int, _Unconfirmed] = {}  # in the order of tags
        self._unconfirmed_bytes = 0
        self._stall_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, connection: Connection, *, on_stalled: Callable[[str], None]) -> "Publisher":
        """Open a channel for it.

        Args:
            connection: Connection that nothing is consumed on, since an alarm blocks it.
            on_stalled: Called when the broker has confirmed nothing for long although it is not blocked.
        """
        publisher = cls(await connection.channel(), connection, on_stalled=on_stalled)
        await publisher._channel.confirm(publisher._note_confirm, publisher._note_return)
        connection.on_unblocked(publisher._send_waiting)
        publisher._channel.closed.add_done_callback(lambda _: publisher._fail_all())
        return publisher

    @property
    def closed(self) -> "asyncio.Future[BrokerError]":
        """Done when the channel has ended."""
        return self._channel.closed

    @property
    def has_room(self) -> bool:
        """Whether a message would be sent at once."""
        is_full = len(self._unconfirmed) >= WINDOW or self._unconfirmed_bytes >= _WINDOW_BYTES
        return self._channel.is_open and not (is_full or self._connection.is_blocked)

    def send(self, outgoing: Outgoing) -> "asyncio.Future[bool]":
        """Send behind all earlier messages; the result is whether a queue took it.

        The future fails with BrokerUnavailable when that cannot be known. Cancelling it withdraws a message that still
        waits.
        """
        check_size(outgoing.body)
        result: asyncio.Future[bool] = self._loop.create_future()
        if not self._channel.is_open or len(self._waiting) >= _WAITING:
            result.set_exception(BrokerUnavailable("The broker takes no messages now."))
            return result
        self._waiting.append((outgoing, result))
        self._send_waiting()
        return result

    def send_if_room(self, outgoing: Outgoing) -> bool:
        """Send if that can be done at once, else drop; nobody learns what became of it."""
        if not self.has_room:
            return False
        self.send(outgoing).add_done_callback(retrieve)
        return True

    def _send_waiting(self) -> None:
        while self._waiting and self.has_room:
            outgoing, result = self._waiting.popleft()
            if not result.done():
                self._send_now(outgoing, result)

    def _send_now(self, outgoing: Outgoing, result: "asyncio.Future[bool]") -> None:
        # RabbitMQ counts the messages of a channel from 1 and confirms by number; a return carries only properties.
        tag = next(self._tags)
        self._unconfirmed[tag] = _Unconfirmed(result, len(outgoing.body), self._loop.time())
        self._unconfirmed_bytes += len(outgoing.body)
        properties = pika.BasicProperties(
            message_id=str(tag),
            content_type="application/x-protobuf",
            delivery_mode=pika.DeliveryMode.Persistent.value if outgoing.durable else pika.DeliveryMode.Transient.value,
            expiration=None if outgoing.ttl_milliseconds is None else str(outgoing.ttl_milliseconds),
            headers=dict(outgoing.headers) or None,
        )
        self._channel.publish(
            outgoing.exchange, outgoing.routing_key, outgoing.body, properties, mandatory=outgoing.mandatory
        )
        if self._stall_timer is None:
            self._stall_timer = self._loop.call_later(_STALL_SECONDS, self._check_progress)

    def _note_return(self, properties: Any) -> None:
        # The return of a message comes before its confirm, which is positive.
        returned = self._unconfirmed.get(int(properties.message_id))
        if returned is not None:
            returned.was_returned = True

    def _note_confirm(self, frame: Any) -> None:
        method = frame.method
        is_stored = isinstance(method, pika.spec.Basic.Ack)
        for tag in self._tags_of(method.delivery_tag, multiple=method.multiple):
            confirmed = self._unconfirmed.pop(tag)
            self._unconfirmed_bytes -= confirmed.size
            if confirmed.result.done():
                continue
            if is_stored:
                confirmed.result.set_result(not confirmed.was_returned)
            else:
                confirmed.result.set_exception(BrokerUnavailable("The broker did not store the message."))
        self._send_waiting()

    def _tags_of(self, tag: int, *, multiple: bool) -> list[int]:
        if multiple:
            return list(itertools.takewhile(lambda earlier: earlier <= tag, self._unconfirmed))
        return [tag] if tag in self._unconfirmed else []

    def _check_progress(self) -> None:
        self._stall_timer = None
        if not self._unconfirmed or not self._channel.is_open:
            return
        oldest = next(iter(self._unconfirmed.values()))
        now = self._loop.time()
        if self._connection.is_blocked:
            oldest.sent_at = now  # an alarm takes as long as it takes; the broker has told us
        patience = oldest.sent_at + _STALL_SECONDS - now
        if patience <= 0:
            self._on_stalled(f"The broker has confirmed nothing for {_STALL_SECONDS:.0f} s.")
        else:
            self._stall_timer = self._loop.call_later(patience, self._check_progress)

    def _fail_all(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        results = [unconfirmed.result for unconfirmed in self._unconfirmed.values()]
        results += [result for _, result in self._waiting]
        self._unconfirmed.clear()
        self._waiting.clear()
        for result in results:
            if not result.done():
                result.set_exception(BrokerUnavailable("The connection was lost before the broker confirmed."))


def retrieve(result: "asyncio.Future[bool]") -> None:
    """Take note of a result that nobody waits for, so that asyncio does not report its failure."""
    if not result.cancelled():
        result.exception()
