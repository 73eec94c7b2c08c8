"""A WorkerBroker in memory that records what a worker sends, and sends it what a test says."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

from rejoinder.v1.operation_pb2 import Payload
from rejoinder.worker.v1.worker_pb2 import (
    Claim,
    ClaimAnswer,
    Event,
    Fence,
    Grant,
    HeartbeatAnswer,
    Stop,
    WorkerHeartbeat,
    WorkerMessage,
)
from rejoinder_broker.port import BrokerRefused, BrokerUnavailable, Kind, WorkerHandlers


class RecordedToken:
    """A token whose fate can be asked for."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.fate = "held"

    def spend(self) -> None:
        assert "held" == self.fate
        self.fate = "spent"

    def give_back(self) -> None:
        assert "held" == self.fate
        self.fate = "given back"


class RecordingBroker:
    """Records in memory what a worker does with its broker.

    Args:
        confirms: Whether events are confirmed at once.
        connects: Whether `start` connects.
        refuses: Whether `start` fails for good.
    """

    def __init__(self, *, confirms: bool = True, connects: bool = True, refuses: bool = False) -> None:
        self.confirms = confirms
        self.connects = connects
        self.refuses = refuses
        self.claims: list[Claim] = []
        self.events: list[Event] = []
        self.kinds: list[frozenset[Kind]] = []
        self.is_stopped = False
        self._open: list[asyncio.Future[None]] = []
        self._handlers: WorkerHandlers | None = None
        self._connections = 0
        self._granted = 0
        self._connection_id: str | None = None

    # The port.

    @property
    def connection_id(self) -> str | None:
        return self._connection_id

    async def start(self, handlers: WorkerHandlers) -> None:
        if self.refuses:
            raise BrokerRefused("no such user")
        self._handlers = handlers
        if self.connects:
            self.connect()
        else:
            handlers.disconnected("connection refused")

    async def stop(self) -> None:
        self._connection_id = None
        self.is_stopped = True
        self._fail_open()

    def consume(self, kinds: Collection[Kind]) -> None:
        self.kinds.append(frozenset(kinds))

    def claim(self, claim: Claim) -> None:
        copy = Claim()
        copy.CopyFrom(claim)
        self.claims.append(copy)

    def report(self, event: Event) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._connection_id is None:
            future.set_exception(BrokerUnavailable("no connection"))
            return future
        copy = Event()
        copy.CopyFrom(event)
        self.events.append(copy)
        if self.confirms:
            future.set_result(None)
        else:
            self._open.append(future)
        return future

    # What a test makes it do.

    def connect(self) -> None:
        self._connections += 1
        self._connection_id = f"connection-{self._connections}"
        self.handlers.connected(self._connection_id)

    def disconnect(self) -> None:
        self._connection_id = None
        self._fail_open()
        self.handlers.disconnected("connection reset")

    def confirm_all(self) -> None:
        still_open, self._open = self._open, []
        for future in still_open:
            future.set_result(None)

    def refuse_all(self) -> None:
        """Fail what is not confirmed although the connection lives."""
        self._fail_open()

    def token(self, queue: str, type_name: str) -> RecordedToken:
        token = RecordedToken(Kind(queue=queue, type=type_name))
        self.handlers.token(token)
        return token

    def grant(self, type_name: str, payload: Payload | str = "null", **changes: object) -> Grant:
        """Send a grant for the latest claim; `changes` replace its fields."""
        grant = self.make_grant(type_name, payload, **changes)
        self.send(WorkerMessage(grant=grant))
        return grant

    def make_grant(self, type_name: str, payload: Payload | str = "null", **changes: object) -> Grant:
        self._granted += 1
        fence = Fence(
            namespace="default",
            operation_id=f"operation-{self._granted}",
            uid=f"uid-{self._granted}",
            attempt=1,
            nonce=f"nonce-{self._granted}",
        )
        fields: dict[str, object] = {
            "claim_id": self.claims[-1].claim_id if self.claims else "",
            "fence": fence,
            "type": type_name,
            "queue": "default",
            "request": Payload(json=payload) if isinstance(payload, str) else payload,
            "lease": timedelta(seconds=30),
            "attempt_timeout": timedelta(minutes=5),
        }
        return Grant(**{**fields, **changes})  # type: ignore[arg-type] # fields by name

    def answer(self, claim: Claim | None = None, *, granted: int = 0, more: bool = False) -> None:
        answered = claim or self.claims[-1]
        self.send(WorkerMessage(claim_answer=ClaimAnswer(claim_id=answered.claim_id, granted=granted, more=more)))

    def answer_heartbeat(self, *, stale: Collection[Fence] = (), cancelled: Collection[Fence] = ()) -> None:
        answer = HeartbeatAnswer(number=self.heartbeats[-1].number, stale=stale, cancelled=cancelled)
        self.send(WorkerMessage(heartbeat_answer=answer))

    def stop_attempts(self, *, stale: Collection[Fence] = (), cancelled: Collection[Fence] = ()) -> None:
        self.send(WorkerMessage(stop=Stop(stale=stale, cancelled=cancelled)))

    def send(self, message: WorkerMessage) -> None:
        self.handlers.message(message)

    # What a test asks.

    @property
    def handlers(self) -> WorkerHandlers:
        assert self._handlers is not None
        return self._handlers

    @property
    def heartbeats(self) -> list[WorkerHeartbeat]:
        return [event.heartbeat for event in self.events if event.HasField("heartbeat")]

    @property
    def kinds_of_events(self) -> list[str]:
        return [event.WhichOneof("event") or "" for event in self.events]

    def reports(self, grant: Grant) -> list[Event]:
        """All events about an attempt, in order."""
        return [event for event in self.events if _fence(event) == grant.fence]

    def ending(self, grant: Grant) -> Event | None:
        """The first terminal event about an attempt."""
        return next((event for event in self.reports(grant) if not event.HasField("progress")), None)

    def _fail_open(self) -> None:
        still_open, self._open = self._open, []
        for future in still_open:
            future.set_exception(BrokerUnavailable("connection lost"))


def _fence(event: Event) -> Fence | None:
    kind = event.WhichOneof("event")
    if kind not in {"progress", "succeeded", "failed", "released"}:
        return None
    fence: Fence = getattr(event, kind).fence
    return fence
