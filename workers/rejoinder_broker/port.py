"""The Broker port: what servers and workers ask of whatever carries their messages.

A broker only wakes and carries. Losing or repeating any of its messages costs time, never an operation.

    token     server -> one worker that has a free slot     may be lost, repeated or left over
    claim     worker -> one server                          may be lost; sent again until answered
    message   server -> one worker connection               the sender learns whether it could be delivered
    event     worker or server -> the one recorder          durable and in order; may be repeated
    changes   server -> every server                        may be lost

All methods and handlers run on one asyncio event loop, that of the side that calls `start`.

Errors:
    BrokerError
    ├── BrokerRefused       it will never work like this: malformed URL, refused credentials, unknown virtual host
    ├── BrokerUnavailable   it may work later: unreachable, connection lost, blocked
    └── NotRecorded         raised by a server's handler of events: not now, deliver them again
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from rejoinder.worker.v1.worker_pb2 import Changes, Claim, Event, WorkerMessage


class BrokerError(Exception):
    """A broker could not do what it was asked."""


class BrokerRefused(BrokerError):
    """The broker will never work with this configuration."""


class BrokerUnavailable(BrokerError):
    """The broker cannot be used now and may work later."""


class NotRecorded(BrokerError):
    """Events could not be recorded for a reason that passes, such as an outage of the store."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a token names: work of a type in a queue."""

    queue: str
    type: str


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that the recorder could not record and will never record.

    Attributes:
        index: Place of the event in the batch, from 0.
        reason: Why, for people.
    """

    index: int
    reason: str


class ServerHandlers(Protocol):
    """What a server does with what arrives."""

    async def claims(self, claims: Sequence[Claim]) -> None:
        """Answer a batch of claims; they are gone when this returns or raises, and workers ask again."""

    async def events(self, events: Sequence[Event]) -> Sequence[RefusedEvent]:
        """Record a batch of events, all those that came before it being recorded.

        At most one batch is under way. The events are confirmed when this returns; those it names as refused are kept
        as dead letters. When it raises, all of them are delivered again in order, after a pause, to whichever server
        records then.
        """

    def changed(self, changes: Changes) -> None:
        """Wake the watchers of changed operations; what this server announced comes back too."""

    def changes_missed(self) -> None:
        """Wake all watchers: announcements may have been lost; called after each connect."""

    def unreadable(self, source: str) -> None:
        """Count a message that could not be read; it is kept as a dead letter. `source` is `claims` or `events`."""

    def connected(self) -> None:
        """Note that the broker answers, after the start or after an outage."""

    def disconnected(self, detail: str) -> None:
        """Note that the broker does not answer; called once per outage, with a line for people."""


class ServerBroker(Protocol):
    """The server's side of a broker."""

    @property
    def is_connected(self) -> bool:
        """Whether messages can be sent and received now."""

    async def start(self, handlers: ServerHandlers) -> None:
        """Connect and begin to consume; return after the first try, and go on trying when the broker is unreachable.

        Raises:
            BrokerRefused: Malformed URL, refused credentials, address in use.
        """

    async def stop_consuming(self) -> None:
        """Take no more claims and events, and wait until the batches under way are handled."""

    async def stop(self) -> None:
        """Close everything; sends under way fail with BrokerUnavailable."""

    def offer(self, kind: Kind) -> None:
        """Send a token if that can be done at once, else drop it."""

    async def send(self, connection_id: str, message: WorkerMessage) -> bool:
        """Send a message to a worker connection; messages to one connection arrive in the order of the calls.

        Returns:
            Whether the broker holds it for that connection; False when there is no such connection.

        Raises:
            BrokerUnavailable: It is not known whether the message will arrive.
            BrokerRefused: The message is larger than 8 MiB.
        """

    async def report(self, event: Event) -> None:
        """Put a server's own event behind all events reported before; return once it is durable.

        Not to be awaited while `events` handles a batch: the event stands behind that batch.

        Raises:
            BrokerUnavailable: It is not known whether the event was stored.
            BrokerRefused: The event is larger than 8 MiB.
        """

    def announce(self, changes: Changes) -> None:
        """Tell every server what has changed if that can be done at once, else drop it."""


class HeldToken(Protocol):
    """A token that this process holds; another worker gets it when the process gives it back.

    When the process ends, RabbitMQ gives it to another worker too, and the local broker forgets it.
    """

    @property
    def kind(self) -> Kind:
        """What the token names."""

    def spend(self) -> None:
        """Take the token out of its queue."""

    def give_back(self) -> None:
        """Return the token to its queue for any worker."""


class WorkerHandlers(Protocol):
    """What a worker process does with what arrives."""

    def connected(self, connection_id: str) -> None:
        """Begin on a new connection, whose worker queue is empty and whose name was never used before."""

    def disconnected(self, detail: str) -> None:
        """Note that the connection is gone with all that it held; called once per outage, with a line for people."""

    def token(self, token: HeldToken) -> None:
        """Take a token."""

    def message(self, message: WorkerMessage) -> None:
        """Take a server's message."""

    def unreadable(self) -> None:
        """Count a message that could not be read; it is kept as a dead letter where the broker can."""


class WorkerBroker(Protocol):
    """The worker's side of a broker."""

    @property
    def connection_id(self) -> str | None:
        """Name of the connection; None while there is none."""

    async def start(self, handlers: WorkerHandlers) -> None:
        """Connect; return after the first try, and go on trying when the broker is unreachable.

        Raises:
            BrokerRefused: Malformed URL, refused credentials.
        """

    async def stop(self) -> None:
        """Close the connection; reports under way fail with BrokerUnavailable, held tokens return to their queues."""

    def consume(self, kinds: Collection[Kind]) -> None:
        """Take tokens of exactly these kinds from now on, holding at most one of each at a time.

        A kind that is dropped delivers no more tokens; one that was on its way goes back. Kinds survive reconnects.
        """

    def claim(self, claim: Claim) -> None:
        """Send a claim if that can be done at once, else drop it."""

    def report(self, event: Event) -> "asyncio.Future[None]":
        """Send an event, behind all earlier calls'; the future is done once the event is durable.

        The future fails with BrokerUnavailable when the connection is lost first: it is not known then whether the
        event was stored. Callers bound how many they leave open.

        Raises:
            BrokerRefused: The event is larger than 8 MiB.
        """
