"""Names and arguments of the queues and the exchange in RabbitMQ.

The names carry a layout version: whatever changes an argument raises it, since RabbitMQ refuses to declare a queue
again with other arguments.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from rejoinder_broker.port import Kind

LAYOUT = 1
CLAIM_TTL_MILLISECONDS = 5_000
"""A claim that nobody took for so long has been sent again."""

_MAX_NAME_BYTES = 255  # AMQP's short string
_DAY_MILLISECONDS = 24 * 60 * 60 * 1000
_FIRST_VERSION_WITH_DELIVERY_LIMIT_OFF = (4, 0)

Arguments = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue to declare.

    Attributes:
        exclusive: Whether it lives and ends with the connection that declares it.
    """

    name: str
    arguments: Arguments = field(default_factory=dict)
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """The layout under one prefix."""

    prefix: str = "rejoinder"

    def work(self, kind: Kind) -> Queue:
        """Return the tokens of one kind; short, because a token says nothing that a second one would not."""
        return Queue(
            self._work_name(kind),
            {"x-max-length": 128, "x-overflow": "reject-publish", "x-expires": _DAY_MILLISECONDS},
        )

    def worker(self, connection_id: str) -> Queue:
        """Return what servers send to one worker connection."""
        return Queue(
            self.worker_name(connection_id), {"x-max-length": 10_000, "x-overflow": "reject-publish"}, exclusive=True
        )

    def changes_of(self, server_id: str) -> Queue:
        """Return what one server hears of changes; dropped ones only delay a watcher until its next heartbeat."""
        return Queue(self._name(f"changes.{server_id}"), {"x-max-length": 10_000}, exclusive=True)

    @property
    def claims(self) -> Queue:
        """Claims for whichever server is free."""
        return Queue(self._name("claims"), {"x-max-length": 10_000})

    def events(self, version: tuple[int, ...]) -> tuple[Queue, ...]:
        """Return the reports, with the arguments to try, best first.

        A limit of deliveries would drop the reports of a long outage of the store. Brokers before version 4 have none
        and refuse the argument; a queue made by such a broker keeps its arguments when that is upgraded.
        """
        arguments: dict[str, str | int | bool] = {
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            # For the recorder's refusals when it cannot publish: a memory alarm must not stop it.
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead.name,
        }
        plain = Queue(self._name("events"), arguments)
        if version < _FIRST_VERSION_WITH_DELIVERY_LIMIT_OFF:
            return (plain,)
        return (Queue(plain.name, {**arguments, "x-delivery-limit": -1}), plain)

    @property
    def events_name(self) -> str:
        """Name of the reports' queue."""
        return self._name("events")

    @property
    def dead(self) -> Queue:
        """Messages that could not be read or recorded, for people to look at; the oldest make room."""
        return Queue(self._name("dead"), {"x-max-length": 10_000, "x-overflow": "drop-head"})

    @property
    def changes(self) -> str:
        """Name of the exchange that copies announcements to every server."""
        return self._name("changes")

    def worker_name(self, connection_id: str) -> str:
        """Name of the queue of one worker connection."""
        return self._name(f"worker.{connection_id}")

    def _name(self, rest: str) -> str:
        return f"{self.prefix}.{LAYOUT}.{rest}"

    def _work_name(self, kind: Kind) -> str:
        # Dots are allowed in queues and types: without the escape, queue `a.b` of `c` and queue `a` of `b.c` were one.
        queue = kind.queue.replace("%", "%25").replace(".", "%2E")
        name = self._name(f"work.{queue}.{kind.type}")
        if len(name.encode()) <= _MAX_NAME_BYTES:
            return name
        return self._name(f"work.~{hashlib.sha256(name.encode()).hexdigest()}")
