"""What people do to RabbitMQ by hand, without going through a broker's sides."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pika  # type: ignore[import-untyped]  # published without types


@dataclass(frozen=True)
class Letter:
    """A message as it lies in a queue."""

    body: bytes
    headers: dict[str, Any]


@contextmanager
def _channel(url: str) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()


def publish(url: str, queue: str, *bodies: bytes) -> None:
    """Put messages into a queue, which must exist."""
    with _channel(url) as channel:
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", queue, body, mandatory=True)


def publish_if_room(url: str, queue: str, *bodies: bytes) -> None:
    """Put messages into a queue that may refuse some because it is full."""
    with _channel(url) as channel:
        for body in bodies:
            channel.basic_publish("", queue, body)


def take(url: str, queue: str) -> list[Letter]:
    """Take all messages out of a queue."""
    letters: list[Letter] = []
    with _channel(url) as channel:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return letters
            letters.append(Letter(body, dict(properties.headers or {})))


def count(url: str, queue: str) -> int:
    """Count the messages of a queue that nobody holds."""
    with _channel(url) as channel:
        messages: int = channel.queue_declare(queue, passive=True).method.message_count
        return messages


def delete_queue(url: str, queue: str) -> None:
    """Delete a queue."""
    with _channel(url) as channel:
        channel.queue_delete(queue)


def make_queue(url: str, queue: str) -> None:
    """Make a queue without any arguments."""
    with _channel(url) as channel:
        channel.queue_declare(queue)
