"""A worker made by hand: it speaks the workers' protocol to RabbitMQ, and says whatever a test wants."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pika  # type: ignore[import-untyped]  # published without types

from rejoinder.worker.v1.worker_pb2 import (
    Announcement,
    Claim,
    Event,
    Fence,
    Grant,
    TypeAnnouncement,
    WorkerHeartbeat,
    WorkerMessage,
)
from tests.support.waiting import eventually_sync

EVENTS = "rejoinder.1.events"
CLAIMS = "rejoinder.1.claims"


class HandMadeWorker:
    """A connection with a worker queue of its own.

    Args:
        channel: Where everything is published and taken.
        type: The one type that it serves, in a queue of the same name.
    """

    def __init__(self, channel: Any, type: str) -> None:
        self._channel = channel
        self.type = type
        self.queue = type.replace(".", "_")
        self.name = f"by-hand-{uuid4().hex[:8]}"
        self.connection_id = uuid4().hex
        self._inbox = f"rejoinder.1.worker.{self.connection_id}"
        channel.confirm_delivery()
        channel.queue_declare(
            self._inbox, exclusive=True, arguments={"x-max-length": 10_000, "x-overflow": "reject-publish"}
        )

    def introduce(self) -> None:
        """Announce the type, and beat once."""
        self.report(announcement=Announcement(types=[TypeAnnouncement(name=self.type, queue=self.queue)]))
        self.report(heartbeat=self.heartbeat())

    def heartbeat(self, *fences: Fence) -> WorkerHeartbeat:
        """Make a heartbeat."""
        return WorkerHeartbeat(
            connection_id=self.connection_id, number=1, types=[self.type], free_slots=1, total_slots=1, fences=fences
        )

    def report(self, **event: Any) -> None:
        """Put an event into the events queue."""
        self.put(EVENTS, Event(worker=self.name, **event).SerializeToString())

    def claim(self, **fields: Any) -> None:
        """Put a claim into the claims queue; the fields replace those of a proper one."""
        proper = {
            "claim_id": uuid4().hex,
            "worker": self.name,
            "connection_id": self.connection_id,
            "queue": self.queue,
            "types": [self.type],
            "free_slots": 1,
            "idle": True,
        }
        self.put(CLAIMS, Claim(**{**proper, **fields}).SerializeToString())

    def put(self, queue: str, body: bytes) -> None:
        """Put any message into a queue."""
        self._channel.basic_publish("", queue, body, mandatory=True)

    def grant(self) -> Grant:
        """Claim until there is a grant, and return it."""

        def granted() -> Grant | None:
            self.claim()
            return next((message.grant for message in self._answer() if message.HasField("grant")), None)

        grant = eventually_sync(granted, timeout=20)
        assert grant is not None
        return grant

    def _answer(self) -> Sequence[WorkerMessage]:
        """Take messages up to the end of a claim's answer."""
        messages: list[WorkerMessage] = []

        def ended() -> bool:
            _, _, body = self._channel.basic_get(self._inbox, auto_ack=True)
            if body is not None:
                messages.append(WorkerMessage.FromString(body))
            return bool(messages) and messages[-1].HasField("claim_answer")

        eventually_sync(ended, timeout=10)
        return messages


@contextmanager
def hand_made_worker(url: str, type: str) -> Iterator[HandMadeWorker]:
    """Connect one for a while."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield HandMadeWorker(connection.channel(), type)
    finally:
        connection.close()
