"""One AMQP connection whose steps can be awaited."""

import asyncio
import copy
import logging
from collections.abc import Callable
from typing import Any

import pika  # type: ignore[import-untyped]  # published without types
import pika.exceptions  # type: ignore[import-untyped]  # published without types
from pika.adapters.asyncio_connection import AsyncioConnection  # type: ignore[import-untyped]  # published without types

from rejoinder_broker.port import BrokerError, BrokerUnavailable

from .channel import Channel, settler
from .parameters import describe
from .refusals import classify_close, classify_open_error

_CLOSE_SECONDS = 5.0

# pika logs each failed try at several levels, with tracebacks; this package says each outage once, by itself.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class Connection:
    """An open connection.

    Attributes:
        lost: Done when the connection has ended, for whatever reason.
        is_blocked: Whether RabbitMQ takes no messages from it because of an alarm.
    """

    def __init__(self, connection: Any) -> None:
        self.lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self.is_blocked = False
        self._connection = connection
        self._channels: set[Channel] = set()
        self._on_unblocked: list[Callable[[], None]] = []
        connection.add_on_close_callback(self._note_close)
        connection.add_on_connection_blocked_callback(self._note_blocked)
        connection.add_on_connection_unblocked_callback(self._note_unblocked)

    @classmethod
    async def open(cls, parameters: pika.connection.Parameters, *, name: str) -> "Connection":
        """Connect under a name that RabbitMQ's tools show.

        Raises:
            BrokerRefused: Refused credentials or virtual host.
            BrokerUnavailable: Unreachable.
        """
        named = copy.copy(parameters)
        named.client_properties = {"connection_name": name}
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection = AsyncioConnection(
            named,
            on_open_callback=settler(opened),
            on_open_error_callback=lambda _, error: None if opened.done() else opened.set_exception(error),
        )
        try:
            await asyncio.shield(opened)
        except asyncio.CancelledError:
            await _abandon(connection, opened)
            raise
        except Exception as error:
            raise classify_open_error(error, address=describe(parameters)) from error
        return cls(connection)

    @property
    def version(self) -> tuple[int, ...]:
        """Version of the broker, as far as it is numbers; empty when it does not tell."""
        properties = self._connection.server_properties or {}
        parts = str(properties.get("version", "")).split(".")
        return tuple(int(part) for part in parts if part.isdecimal())

    def on_unblocked(self, callback: Callable[[], None]) -> None:
        """Have a callback called whenever RabbitMQ takes messages again."""
        self._on_unblocked.append(callback)

    async def channel(self) -> Channel:
        """Open a channel.

        Raises:
            BrokerUnavailable: The connection is lost.
        """
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            raw = self._connection.channel(on_open_callback=settler(opened))
        except pika.exceptions.AMQPError as error:
            raise BrokerUnavailable("The connection is lost.") from error
        channel = Channel(raw)
        self._channels.add(channel)
        channel.closed.add_done_callback(lambda _: self._channels.discard(channel))
        await channel.wait_for(opened)
        return channel

    async def close(self) -> None:
        """Close, politely where the broker answers, and within a bound in any case."""
        for channel in self._channels:
            channel.keep_consumers()
        if self._connection.is_open:
            self._connection.close()
        if not self.lost.done():
            await asyncio.wait({self.lost}, timeout=_CLOSE_SECONDS)
        if not self.lost.done():
            _cut(self._connection)
            await asyncio.wait({self.lost}, timeout=_CLOSE_SECONDS)

    def _note_close(self, _: Any, error: BaseException) -> None:
        if not self.lost.done():
            self.lost.set_result(classify_close(error))

    def _note_blocked(self, _connection: Any, _frame: Any) -> None:
        self.is_blocked = True

    def _note_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.is_blocked = False
        for callback in self._on_unblocked:
            callback()


async def _abandon(connection: Any, opened: "asyncio.Future[None]") -> None:
    if not (connection.is_closing or connection.is_closed):
        connection.close()
    await asyncio.wait({opened}, timeout=_CLOSE_SECONDS)
    if opened.done():
        opened.exception()


def _cut(connection: Any) -> None:
    # pika has no public way to drop a connection whose peer does not answer; its heartbeat would take many seconds.
    connection._terminate_stream(pika.exceptions.ConnectionOpenAborted("The broker did not answer the close."))  # noqa: SLF001
