"""The Store port on SQLite."""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from rejoinder_server.operation import (
    Acceptance,
    Instant,
    Key,
    Operation,
    State,
    Transition,
    TypeRecord,
    Watermark,
    WorkerRecord,
)
from rejoinder_server.store.port import (
    Decide,
    HistorySpan,
    Moment,
    Query,
    Selection,
    StoreRefused,
    Submission,
    Waiting,
    Writes,
)
from rejoinder_server.store.rows import operation_from, transition_from, type_from, worker_from
from rejoinder_server.store.schema import load
from rejoinder_server.store.sqlite import statements, writing
from rejoinder_server.store.sqlite.connections import Connections, transaction
from rejoinder_server.store.sqlite.locking import select
from rejoinder_server.store.sqlite.migrating import migrate

_MICROSECONDS: Final = 1_000_000


class SqliteStore:
    """Operations in an SQLite file, which one server at a time has open.

    Args:
        url: A sqlite:/// URL.
        readers: How many threads read.
        timeout_seconds: The longest wait for an answer.
        clock: Seconds since the epoch.
    """

    def __init__(self, url: str, *, readers: int, timeout_seconds: float, clock: Callable[[], float]) -> None:
        self._connections = Connections(_path(url), readers=readers, timeout_seconds=timeout_seconds)
        self._clock = clock

    async def open(self) -> None:
        """Lock and open the file, and migrate an empty one; see the port."""
        known = load("sqlite")
        await self._connections.open(lambda connection: migrate(connection, known, only_empty=True))

    async def close(self) -> None:
        """Close the file after the calls under way."""
        await self._connections.close()

    async def migrate(self) -> list[str]:
        """Bring the schema up to date; see the port."""
        known = load("sqlite")
        return await self._connections.once(lambda connection: migrate(connection, known))

    async def now(self) -> Instant:
        """Return the time of this machine."""
        await self._connections.read(lambda connection: connection.execute(statements.WATERMARK).fetchone())
        return self._now()

    async def submit(self, acceptances: Sequence[Acceptance]) -> list[Submission]:
        """Store operations in one commit; see the port."""

        def work(connection: sqlite3.Connection) -> list[Submission]:
            with transaction(connection, "BEGIN IMMEDIATE"):
                submissions = writing.store(connection, acceptances)
                if any(submission.is_new for submission in submissions):
                    connection.execute("COMMIT")
                return submissions

        return await self._connections.write(work)

    async def transact(self, selection: Selection, decide: Decide) -> Writes:
        """Select, decide, write and commit, on the writing thread; see the port."""

        def work(connection: sqlite3.Connection) -> Writes:
            with transaction(connection, "BEGIN IMMEDIATE"):
                now = self._now()
                moment = Moment(now, _watermark(connection))
                writes = decide(select(connection, selection, now=now), moment)
                if writes != Writes():
                    writing.write(connection, writes)
                    connection.execute("COMMIT")
                return writes

        return await self._connections.write(work)

    async def read(self, keys: Sequence[Key]) -> list[Operation | None]:
        """Return the operations with these keys as of one instant, tombstones included, in order."""

        def work(connection: sqlite3.Connection) -> list[Operation | None]:
            rows = (connection.execute(statements.BY_KEY, (key.namespace, key.operation_id)).fetchone() for key in keys)
            return [None if row is None else operation_from(row) for row in rows]

        return await self._connections.read(work)

    async def requests(self, uids: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Return the request payloads of operations named by (namespace, uid), in order; None when purged."""

        def work(connection: sqlite3.Connection) -> list[bytes | None]:
            rows = (connection.execute(statements.PAYLOAD, uid).fetchone() for uid in uids)
            return [None if row is None else row[0] for row in rows]

        return await self._connections.read(work)

    async def history(self, spans: Sequence[HistorySpan]) -> list[list[Transition]]:
        """Return parts of histories, each in the order of its sequences."""

        def part(connection: sqlite3.Connection, span: HistorySpan) -> list[Transition]:
            rows = connection.execute(statements.HISTORY, (span.namespace, span.uid, span.after, span.through))
            return [transition_from(row) for row in rows]

        return await self._connections.read(lambda connection: [part(connection, span) for span in spans])

    async def query(self, query: Query) -> list[Operation]:
        """List operations, newest first."""

        def work(connection: sqlite3.Connection) -> list[Operation]:
            found = [row for listing in statements.listings(query) for row in connection.execute(*listing)]
            # Newest first: by create time, then operation id.
            page = _within(sorted(found, reverse=True)[: query.limit], query.most_bytes)
            read = statements.listed(query)
            return [
                operation_from(connection.execute(read, (query.namespace, operation_id)).fetchone())
                for _, operation_id, _ in page
            ]

        return await self._connections.read(work)

    async def types(self) -> list[TypeRecord]:
        """Return all types that were ever announced, by name."""
        return await self._connections.read(
            lambda connection: [type_from(row) for row in connection.execute(statements.TYPES)]
        )

    async def workers(self) -> list[WorkerRecord]:
        """Return all worker processes that are not forgotten."""
        return await self._connections.read(
            lambda connection: [worker_from(row) for row in connection.execute(statements.WORKERS)]
        )

    async def watermark(self) -> Watermark:
        """Return how far events have been recorded."""
        return await self._connections.read(_watermark)

    async def waiting(self) -> list[Waiting]:
        """Count what waits, by namespace, type and queue."""
        now = self._now()
        return await self._connections.read(
            lambda connection: [Waiting(*row) for row in connection.execute(statements.WAITING, (now,))]
        )

    async def due_kinds(self, since: Instant, through: Instant) -> list[tuple[str, str]]:
        """Return the (queue, type) pairs of what waits and becomes due in (since, through]."""
        return await self._connections.read(
            lambda connection: connection.execute(statements.DUE_KINDS, (since, through)).fetchall()
        )

    async def next_due_time(self, after: Instant) -> Instant | None:
        """Return the earliest due time after an instant among what waits."""
        row = await self._connections.read(
            lambda connection: connection.execute(statements.NEXT_DUE_TIME, (after,)).fetchone()
        )
        return row[0] if row else None

    async def counts(self) -> dict[State, int]:
        """Count operations by state, tombstones left out."""
        return await self._connections.read(
            lambda connection: {State(row[0]): row[1] for row in connection.execute(statements.COUNTS)}
        )

    def _now(self) -> Instant:
        return int(self._clock() * _MICROSECONDS)


def _within(page: Sequence[tuple[Instant, str, int]], most_bytes: int | None) -> Sequence[tuple[Instant, str, int]]:
    """Return the beginning of a page that `most_bytes` leaves; see `Query`."""
    if most_bytes is None:
        return page
    totals = accumulate(size for _, _, size in page)
    ends = (place for place, total in enumerate(totals, 1) if total > most_bytes)
    return page[: max(next(ends, len(page)), 2)]


def _watermark(connection: sqlite3.Connection) -> Watermark:
    return Watermark(*connection.execute(statements.WATERMARK).fetchone())


def _path(url: str) -> Path:
    parts = urlsplit(url)
    name = unquote(parts.path).removeprefix("/")
    if parts.netloc or parts.query or parts.fragment or not name or name.startswith(":") or "\0" in name:
        raise StoreRefused("the store's URL must look like sqlite:///relative.db or sqlite:////absolute/file.db")
    # Two names of one file must share its lock.
    return Path(name).resolve()
