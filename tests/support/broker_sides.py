"""Both sides of a broker in one process, with handlers that record what they are told."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rejoinder.worker.v1.worker_pb2 import (
    ChangedOperation,
    Changes,
    Claim,
    ClaimAnswer,
    Event,
    Fence,
    ProgressReport,
    WorkerMessage,
)
from rejoinder_broker import HeldToken, Kind, RefusedEvent, ServerBroker, WorkerBroker

KIND = Kind("default", "reports.generate")
OTHER_KIND = Kind("default", "reports.send")


class RecorderDownError(Exception):
    """What a recording server raises when a test has it fail."""


@dataclass
class RecordingServer:
    """A server's handlers.

    Attributes:
        is_failing: Whether events are turned away with an exception.
        refused_ids: Operations whose events are refused.
    """

    claimed: list[list[str]] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    batches: int = 0
    heard: list[str] = field(default_factory=list)
    missed: int = 0
    unreadables: list[str] = field(default_factory=list)
    connects: int = 0
    outages: list[str] = field(default_factory=list)
    failures: int = 0
    is_failing: bool = False
    refused_ids: set[str] = field(default_factory=set)

    async def claims(self, claims: Sequence[Claim]) -> None:
        self.claimed.append([claim.claim_id for claim in claims])

    async def events(self, events: Sequence[Event]) -> Sequence[RefusedEvent]:
        if self.is_failing:
            self.failures += 1
            raise RecorderDownError("The store is down.")
        names = [event.progress.fence.operation_id for event in events]
        refused = [RefusedEvent(index, "too odd") for index, name in enumerate(names) if name in self.refused_ids]
        self.batches += 1
        self.recorded += [name for name in names if name not in self.refused_ids]
        return refused

    def changed(self, changes: Changes) -> None:
        self.heard += [operation.operation_id for operation in changes.operations]

    def changes_missed(self) -> None:
        self.missed += 1

    def unreadable(self, source: str) -> None:
        self.unreadables.append(source)

    def connected(self) -> None:
        self.connects += 1

    def disconnected(self, detail: str) -> None:
        self.outages.append(detail)

    @property
    def claim_ids(self) -> list[str]:
        return [claim_id for batch in self.claimed for claim_id in batch]


@dataclass
class RecordingWorker:
    """A worker's handlers."""

    connection_ids: list[str] = field(default_factory=list)
    outages: list[str] = field(default_factory=list)
    tokens: list[HeldToken] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    unreadables: int = 0

    def connected(self, connection_id: str) -> None:
        self.connection_ids.append(connection_id)

    def disconnected(self, detail: str) -> None:
        self.outages.append(detail)

    def token(self, token: HeldToken) -> None:
        self.tokens.append(token)

    def message(self, message: WorkerMessage) -> None:
        self.answers.append(message.claim_answer.claim_id)

    def unreadable(self) -> None:
        self.unreadables += 1


@dataclass(frozen=True)
class ServerSide:
    """A started server's side and what it was told."""

    broker: ServerBroker
    told: RecordingServer


@dataclass(frozen=True)
class WorkerSide:
    """A started worker's side and what it was told."""

    broker: WorkerBroker
    told: RecordingWorker

    @property
    def connection_id(self) -> str:
        return self.told.connection_ids[-1]


def claim(claim_id: str) -> Claim:
    return Claim(claim_id=claim_id, worker="w", connection_id="c", queue=KIND.queue, types=[KIND.type], free_slots=1)


def answer(claim_id: str) -> WorkerMessage:
    return WorkerMessage(claim_answer=ClaimAnswer(claim_id=claim_id))


def event(operation_id: str) -> Event:
    return Event(progress=ProgressReport(fence=Fence(operation_id=operation_id), number=1))


def changes(operation_id: str) -> Changes:
    return Changes(server="s", operations=[ChangedOperation(namespace="default", operation_id=operation_id)])
