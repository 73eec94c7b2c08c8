"""The Store port: what the server asks of whatever keeps its operations. The store is the truth.

Every write to what exists goes one way: `transact` locks the rows that a selection names, lets a pure function decide
what becomes of them, writes that and commits. The rules of the state machine therefore stand in one place
(`lifecycle`), and an implementation is SQL and nothing else.

Errors:
    StoreError
    ├── StoreRefused       it will never work like this: malformed URL, refused credentials, locked, too new a schema
    ├── StoreUnavailable   it may work later: unreachable, connection lost, disk full; nothing was written, or it is not
    │                      known whether the commit took place
    └── DataRefused        the store cannot hold one of the values; nothing was written
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from rejoinder_server.operation import (
    Acceptance,
    Change,
    Instant,
    Key,
    Operation,
    State,
    Transition,
    TypeRecord,
    Watermark,
    WorkerRecord,
)


class StoreError(Exception):
    """The store could not do what it was asked."""


class StoreRefused(StoreError):
    """The store will never work with this configuration."""


class StoreUnavailable(StoreError):
    """The store cannot be used now and may work later."""


class DataRefused(StoreError):
    """The store cannot hold one of the values that it was given."""


# What transact locks. Selected rows come back without tombstones unless said otherwise.


@dataclass(frozen=True, slots=True)
class ByKey:
    """The operations with these keys, tombstones included; keys that do not exist give no row."""

    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Due:
    """The best waiting operations of these types in a queue, at most `limit`, in the order in which they must run.

    ACCEPTED, due by the store's time, ordered by priority (highest first), due time, namespace and operation id. Only
    one transaction at a time holds a queue's due rows. Rows that another transaction holds are skipped.
    """

    queue: str
    types: Sequence[str]
    limit: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The operations with these keys, and the RUNNING ones granted to these workers; each row once."""

    keys: Sequence[Key]
    workers: Sequence[str]


@dataclass(frozen=True, slots=True)
class Expired:
    """Operations in these states whose `expire_time` is at or before an instant, earliest first, at most `limit`.

    Tombstones included. Rows that another transaction holds are skipped.
    """

    states: Sequence[State]
    before: Instant
    limit: int


@dataclass(frozen=True, slots=True)
class Lapsed:
    """RUNNING operations whose `lease_time` is before an instant, at most `limit`; held rows are skipped."""

    before: Instant
    limit: int


@dataclass(frozen=True, slots=True)
class Astray:
    """ACCEPTED operations of these types that are in another queue than the one named, at most `limit`.

    Rows that another transaction holds are skipped. Costs little when there are none, however many wait.

    Attributes:
        queues: The queue of each type, by the type's name; other types are where they belong.
    """

    queues: Mapping[str, str]
    limit: int


Selection: TypeAlias = ByKey | Due | Reported | Expired | Lapsed | Astray


@dataclass(frozen=True, slots=True)
class Moment:
    """When a transaction decides.

    Attributes:
        now: The store's time, read inside the transaction.
        watermark: How far events have been recorded, read inside the transaction.
    """

    now: Instant
    watermark: Watermark


@dataclass(slots=True)
class Writes:
    """What a transaction writes; empty parts cost nothing.

    Attributes:
        changes: Operations that change, at most one change each, all of them selected by this transaction. A change
            whose `after` gains a `purged_time` also deletes the request payload and the history; one whose `after` is
            None deletes everything.
        leases: Lease times of RUNNING operations that do not change otherwise, by key.
        types: Types to insert or replace. What waits of a type stays in its queue: see `Astray`.
        types_seen: When workers of these types were last heard of.
        workers: Worker processes to insert or replace.
        workers_gone: Worker processes to forget.
        workers_lapsed: Worker processes whose lease time is before this are forgotten too.
        longest_lease: Lease times after this, of operations and of workers, become this.
        watermark: The new watermark, which may be earlier than the present one.
    """

    changes: list[Change] = field(default_factory=list)
    leases: dict[Key, Instant] = field(default_factory=dict)
    types: dict[str, TypeRecord] = field(default_factory=dict)
    types_seen: dict[str, Instant] = field(default_factory=dict)
    workers: dict[str, WorkerRecord] = field(default_factory=dict)
    workers_gone: set[str] = field(default_factory=set)
    workers_lapsed: Instant | None = None
    longest_lease: Instant | None = None
    watermark: Watermark | None = None


Decide: TypeAlias = Callable[[Sequence[Operation], Moment], Writes]
"""Decides from the locked rows; pure but for what it notes for its caller. It may be called again when a transaction
has to be repeated, so it starts from nothing each time."""


@dataclass(frozen=True, slots=True)
class Submission:
    """How one acceptance of a batch fared.

    Attributes:
        operation: The stored operation: the new one, the one (or tombstone) that has its request id, or else the one
            (or tombstone) that has its operation id.
        is_new: Whether this submission stored it, be it by an earlier try whose answer was lost.
    """

    operation: Operation
    is_new: bool


@dataclass(frozen=True, slots=True)
class HistorySpan:
    """A part of one operation's history: sequences after `after`, up to and with `through`."""

    namespace: str
    uid: str
    after: int
    through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which operations a listing selects; empty parts select all. Tombstones never match.

    Attributes:
        before: Only what comes after this (create time, operation id) in the order of the listing.
        with_outcomes: Whether results are read; otherwise every `result` is None.
        most_bytes: The listing ends after the operation with which its errors, its progress and, with outcomes, its
            results and request payloads come to more bytes than this. The first operation never ends it, so that the
            second tells a caller who shows only one that more follows. None sets no bound.
    """

    namespace: str
    states: Sequence[State] = ()
    types: Sequence[str] = ()
    queues: Sequence[str] = ()
    correlation_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    error_reason: str = ""
    create_time_from: Instant | None = None
    create_time_before: Instant | None = None
    before: tuple[Instant, str] | None = None
    limit: int
    with_outcomes: bool = True
    most_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many operations of one namespace and type wait.

    Attributes:
        count: ACCEPTED operations.
        oldest_due_time: The earliest due time among those that are due; None when none is.
    """

    namespace: str
    type: str
    queue: str
    count: int
    oldest_due_time: Instant | None


class Store(Protocol):
    """Keeps operations. Every method may raise StoreUnavailable."""

    async def open(self) -> None:
        """Connect, and migrate an empty store to the newest schema.

        Raises:
            StoreRefused: Malformed URL, refused credentials, another server holds it, or its schema is not this
                program's (the message says whether to run `rejoinder-server migrate` or a newer program).
            StoreUnavailable: It cannot be reached.
        """

    async def close(self) -> None:
        """Close all connections after the calls under way."""

    async def migrate(self) -> list[str]:
        """Bring the schema up to date, before `open`, under a lock; return the names of the migrations applied."""

    async def now(self) -> Instant:
        """Return the store's time; also a check that it answers."""

    async def submit(self, acceptances: Sequence[Acceptance]) -> list[Submission]:
        """Store operations in one commit, each under its own keys, and tell how each fared, in order.

        An acceptance whose (namespace, type, request id) exists, or whose (namespace, operation id) exists, stores
        nothing; also when the other one is in the same batch.

        Raises:
            DataRefused: One of the values cannot be stored; nothing was.
        """

    async def transact(self, selection: Selection, decide: Decide) -> Writes:
        """Lock what the selection names, let `decide` say what becomes of it, write that, commit, and return it.

        Raises:
            DataRefused: One of the values cannot be stored; nothing was.
        """

    async def read(self, keys: Sequence[Key]) -> list[Operation | None]:
        """Return the operations with these keys as of one instant, tombstones included, in order."""

    async def requests(self, uids: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Return the request payloads of operations named by (namespace, uid), in order; None when purged."""

    async def history(self, spans: Sequence[HistorySpan]) -> list[list[Transition]]:
        """Return parts of histories, each in the order of its sequences."""

    async def query(self, query: Query) -> list[Operation]:
        """List operations, newest first: by create time, then operation id, both descending."""

    async def types(self) -> list[TypeRecord]:
        """Return all types that were ever announced, by name."""

    async def workers(self) -> list[WorkerRecord]:
        """Return all worker processes that are not forgotten."""

    async def watermark(self) -> Watermark:
        """Return how far events have been recorded."""

    async def waiting(self) -> list[Waiting]:
        """Count what waits, by namespace, type and queue."""

    async def due_kinds(self, since: Instant, through: Instant) -> list[tuple[str, str]]:
        """Return the (queue, type) pairs of ACCEPTED operations whose due time is in (since, through]."""

    async def next_due_time(self, after: Instant) -> Instant | None:
        """Return the earliest due time after an instant among ACCEPTED operations."""

    async def counts(self) -> dict[State, int]:
        """Count operations by state, tombstones left out."""
