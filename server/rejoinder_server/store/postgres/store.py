"""The Store port on PostgreSQL."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

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
from rejoinder_server.store.port import Decide, HistorySpan, Query, Selection, Submission, Waiting, Writes
from rejoinder_server.store.postgres import locking, reading, submitting, writing
from rejoinder_server.store.postgres.connections import Connections
from rejoinder_server.store.postgres.failures import Conflict
from rejoinder_server.store.postgres.migrating import migrate
from rejoinder_server.store.rows import operation_from, transition_from, type_from, worker_from
from rejoinder_server.store.schema import load

T = TypeVar("T")

_TRIES: Final = 5
_LONGEST_PAUSE_SECONDS: Final = 0.05


class PostgresStore:
    """Operations in a PostgreSQL database, which any number of servers share.

    Args:
        url: A postgresql:// URL.
        connections: How many connections there may be.
        timeout_seconds: The longest wait for a connection, for a lock and for a statement.
    """

    def __init__(self, url: str, *, connections: int, timeout_seconds: float) -> None:
        self._connections = Connections(url, size=connections, timeout_seconds=timeout_seconds)

    async def open(self) -> None:
        """Connect, and migrate an empty database; see the port."""
        async with self._connections.alone() as connection:
            await migrate(connection, load("postgres"), only_empty=True)
        await self._connections.open()

    async def close(self) -> None:
        """Close all connections after the calls under way."""
        await self._connections.close()

    async def migrate(self) -> list[str]:
        """Bring the schema up to date; see the port."""
        async with self._connections.alone() as connection:
            return await migrate(connection, load("postgres"))

    async def now(self) -> Instant:
        """Return the database's time."""
        [row] = await self._fetch(f"SELECT {locking.STORE_TIME}")
        now: Instant = row[0]
        return now

    async def submit(self, acceptances: Sequence[Acceptance]) -> list[Submission]:
        """Store operations in one commit; see the port."""
        if not acceptances:
            return []

        async def attempt() -> list[Submission]:
            async with self._connections.lend() as connection:
                return await submitting.submit(connection, acceptances)

        return await _repeated(attempt)

    async def transact(self, selection: Selection, decide: Decide) -> Writes:
        """Lock, decide, write and commit; see the port."""

        async def attempt() -> Writes:
            async with self._connections.transaction(prelude=locking.prelude(selection)) as connection:
                operations, moment = await locking.lock(connection, selection)
                writes = decide(operations, moment)
                if writes != Writes():
                    await writing.write(connection, writes)
                    await connection.execute("COMMIT")
                return writes

        return await _repeated(attempt)

    async def read(self, keys: Sequence[Key]) -> list[Operation | None]:
        """Return the operations with these keys as of one instant, tombstones included, in order."""
        rows = await self._fetch(reading.READ, [key.namespace for key in keys], [key.operation_id for key in keys])
        return [None if row[0] is None else operation_from(row) for row in rows]

    async def requests(self, uids: Sequence[tuple[str, str]]) -> list[bytes | None]:
        """Return the request payloads of operations named by (namespace, uid), in order; None when purged."""
        rows = await self._fetch(reading.REQUESTS, [each[0] for each in uids], [each[1] for each in uids])
        return [row[0] for row in rows]

    async def history(self, spans: Sequence[HistorySpan]) -> list[list[Transition]]:
        """Return parts of histories, each in the order of its sequences."""
        rows = await self._fetch(
            reading.HISTORY,
            [span.namespace for span in spans],
            [span.uid for span in spans],
            [span.after for span in spans],
            [span.through for span in spans],
        )
        parts: list[list[Transition]] = [[] for _ in spans]
        for row in rows:
            parts[row[0] - 1].append(transition_from(row[1:]))
        return parts

    async def query(self, query: Query) -> list[Operation]:
        """List operations, newest first."""
        statement, arguments = reading.listing(query)
        return [operation_from(row) for row in await self._fetch(statement, *arguments)]

    async def types(self) -> list[TypeRecord]:
        """Return all types that were ever announced, by name."""
        return [type_from(row) for row in await self._fetch(reading.TYPES)]

    async def workers(self) -> list[WorkerRecord]:
        """Return all worker processes that are not forgotten."""
        return [worker_from(row) for row in await self._fetch(reading.WORKERS)]

    async def watermark(self) -> Watermark:
        """Return how far events have been recorded."""
        [row] = await self._fetch(reading.WATERMARK)
        return Watermark(*row)

    async def waiting(self) -> list[Waiting]:
        """Count what waits, by namespace, type and queue."""
        return [Waiting(*row) for row in await self._fetch(reading.WAITING)]

    async def due_kinds(self, since: Instant, through: Instant) -> list[tuple[str, str]]:
        """Return the (queue, type) pairs of what waits and becomes due in (since, through]."""
        return [(row[0], row[1]) for row in await self._fetch(reading.DUE_KINDS, since, through)]

    async def next_due_time(self, after: Instant) -> Instant | None:
        """Return the earliest due time after an instant among what waits."""
        rows = await self._fetch(reading.NEXT_DUE_TIME, after)
        return rows[0][0] if rows else None

    async def counts(self) -> dict[State, int]:
        """Count operations by state, tombstones left out."""
        return {State(row[0]): row[1] for row in await self._fetch(reading.COUNTS)}

    async def _fetch(self, statement: str, *arguments: Any) -> Sequence[asyncpg.Record]:
        async with self._connections.lend() as connection:
            return await connection.fetch(statement, *arguments)


async def _repeated(attempt: Callable[[], Awaitable[T]]) -> T:
    """Make an attempt, a few times when others are in the way."""
    for remaining in reversed(range(_TRIES)):
        try:
            return await attempt()
        except Conflict:
            if remaining == 0:
                raise
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))
    raise AssertionError("unreachable")
