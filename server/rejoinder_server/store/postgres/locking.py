"""What a selection locks in PostgreSQL.

A selection first finds its candidates without locking, in the order in which it will lock them, then locks exactly
those by key and looks again whether each is still what was asked for. So no more rows are locked than are returned.
"""

# ruff: noqa: S608 - statements are put together from constants; every value is an argument

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from rejoinder_server.operation import Key, Operation, Watermark
from rejoinder_server.store.columns import EVERYWHERE, OPERATION, named
from rejoinder_server.store.port import Astray, ByKey, Due, Expired, Lapsed, Moment, Reported, Selection
from rejoinder_server.store.postgres.connections import Connection
from rejoinder_server.store.rows import json_text, operation_from

STORE_TIME: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

# The time at which the statement began; unlike the clock it may bound an index range.
STATEMENT_TIME: Final = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"

_ROUNDS: Final = 3


def _locking(candidates: str, *, still: str, wait: bool) -> str:
    # The limit is a fence: rows are found by their key and tested under the lock, whatever other index seems to fit.
    # The clock is read as each row comes out, so that of the last row is read under all locks.
    return f"""
WITH candidate AS MATERIALIZED ({candidates}), locked AS MATERIALIZED (
    SELECT operation.* FROM candidate CROSS JOIN LATERAL (
        SELECT {named(OPERATION)} FROM operations
        WHERE namespace = candidate.namespace AND operation_id = candidate.operation_id
        LIMIT 1 FOR UPDATE {"" if wait else "SKIP LOCKED"}
    ) AS operation WHERE {still}
)
SELECT {STORE_TIME}, watermark.time, watermark.judge_from, (SELECT count(*) FROM candidate), locked.*
FROM watermark LEFT JOIN locked ON true WHERE watermark.namespace = '{EVERYWHERE}'
"""


# The keys come sorted.
BY_KEY: Final = _locking(
    "SELECT namespace, operation_id FROM unnest($1::text[], $2::text[]) AS asked (namespace, operation_id)",
    still="true",
    wait=True,
)

# For each type the priorities that wait, found by stepping down the index, and of each the first that are due: rows
# that wait for a later time are never read, whatever their priority. Merged, the best of these are the best of all.
DUE: Final = _locking(
    f"""
    SELECT best.namespace, best.operation_id
    FROM unnest($2::text[]) AS kind (type)
    CROSS JOIN LATERAL (
        WITH RECURSIVE step (priority) AS (
            (
                SELECT priority FROM operations
                WHERE state = 1 AND queue = $1 AND type = kind.type
                ORDER BY priority DESC LIMIT 1
            )
            UNION ALL
            SELECT (
                SELECT lower.priority FROM operations AS lower
                WHERE lower.state = 1 AND lower.queue = $1 AND lower.type = kind.type
                    AND lower.priority < step.priority
                ORDER BY lower.priority DESC LIMIT 1
            ) FROM step WHERE step.priority IS NOT NULL
        )
        SELECT priority FROM step WHERE priority IS NOT NULL
    ) AS level
    CROSS JOIN LATERAL (
        SELECT namespace, operation_id, priority, due_time FROM operations
        WHERE state = 1 AND queue = $1 AND type = kind.type AND priority = level.priority
            AND due_time <= {STATEMENT_TIME}
        ORDER BY due_time, namespace, operation_id LIMIT $3
    ) AS best
    ORDER BY best.priority DESC, best.due_time, best.namespace, best.operation_id LIMIT $3
    """,
    still=f"state = 1 AND queue = $1 AND type = ANY ($2) AND due_time <= {STATEMENT_TIME}",
    wait=False,
)

REPORTED: Final = _locking(
    """
    SELECT namespace, operation_id, bool_or(by_key) AS by_key FROM (
        SELECT namespace, operation_id, true AS by_key
        FROM unnest($1::text[], $2::text[]) AS asked (namespace, operation_id)
        UNION ALL
        SELECT namespace, operation_id, false FROM operations WHERE state = 2 AND worker = ANY ($3::text[])
    ) AS either GROUP BY namespace, operation_id ORDER BY namespace, operation_id
    """,
    still="purged_time IS NULL AND (by_key OR (state = 2 AND worker = ANY ($3)))",
    wait=True,
)

EXPIRED: Final = _locking(
    """
    SELECT first.namespace, first.operation_id
    FROM unnest($1::bigint[]) AS asked (state)
    CROSS JOIN LATERAL (
        SELECT namespace, operation_id, expire_time FROM operations
        WHERE state = asked.state AND expire_time <= $2
        ORDER BY expire_time, namespace, operation_id LIMIT $3
    ) AS first
    ORDER BY first.expire_time, first.namespace, first.operation_id LIMIT $3
    """,
    still="state = ANY ($1) AND expire_time <= $2",
    wait=False,
)

# Reads all that runs, by the small index of that: an index of lease times would be written at every heartbeat.
LAPSED: Final = _locking(
    """
    SELECT namespace, operation_id FROM operations WHERE state = 2 AND lease_time < $1
    ORDER BY lease_time, namespace, operation_id LIMIT $2
    """,
    still="state = 2 AND lease_time < $1",
    wait=False,
)

# Steps up the index of what waits, from one queue and type to the next: where nothing is astray, that is all it reads.
ASTRAY: Final = _locking(
    """
    WITH RECURSIVE used (queue, type) AS (
        SELECT '' COLLATE "C", '' COLLATE "C"
        UNION ALL
        SELECT higher.queue, higher.type FROM used CROSS JOIN LATERAL (
            SELECT queue, type FROM operations WHERE state = 1 AND (queue, type) > (used.queue, used.type)
            ORDER BY queue, type LIMIT 1
        ) AS higher
    )
    SELECT waiting.namespace, waiting.operation_id
    FROM used CROSS JOIN LATERAL (
        SELECT namespace, operation_id FROM operations
        WHERE state = 1 AND queue = used.queue AND type = used.type
        ORDER BY priority DESC, due_time, namespace, operation_id LIMIT $2
    ) AS waiting
    WHERE used.queue <> ($1::jsonb ->> used.type)
    LIMIT $2
    """,
    still="state = 1 AND queue <> ($1::jsonb ->> type)",
    wait=False,
)


@dataclass(frozen=True, slots=True)
class _Locked:
    operations: list[Operation]
    moment: Moment
    candidates: int


def prelude(selection: Selection) -> str:
    """Return what a transaction locks before it selects, so that the selection sees what the others committed."""
    match selection:
        case Due(queue=queue):
            # One granter at a time for each queue.
            digest = blake2b(f"rejoinder.due.{queue}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
            return f"SELECT pg_advisory_xact_lock({int.from_bytes(digest, signed=True)})"
        case Reported():
            # One recorder at a time moves the watermark.
            return f"SELECT FROM watermark WHERE namespace = '{EVERYWHERE}' FOR UPDATE"
        case _:
            return ""


async def lock(connection: Connection, selection: Selection) -> tuple[list[Operation], Moment]:
    """Lock what the selection names, in a transaction that began with its prelude."""
    match selection:
        case ByKey(keys=keys):
            locked = await _lock(connection, BY_KEY, *_unzipped(keys))
        case Due():
            locked = await _lock_due(connection, selection)
        case Reported(keys=keys, workers=workers):
            locked = await _lock(connection, REPORTED, *_unzipped(keys), list(workers))
        case Expired(states=states, before=before, limit=limit):
            locked = await _lock(connection, EXPIRED, [int(state) for state in set(states)], before, limit)
        case Lapsed(before=before, limit=limit):
            locked = await _lock(connection, LAPSED, before, limit)
        case Astray(queues=queues, limit=limit):
            locked = await _lock(connection, ASTRAY, json_text(queues), limit)
    return locked.operations, locked.moment


async def _lock_due(connection: Connection, due: Due) -> _Locked:
    ask = due.limit
    for _ in range(_ROUNDS):
        locked = await _lock(connection, DUE, due.queue, list(set(due.types)), ask)
        held = locked.candidates - len(locked.operations)
        if held == 0 or len(locked.operations) >= due.limit:
            break
        # Cancels hold some of the best rows: what comes after them must not seem to be the end.
        ask = due.limit + held
    best = sorted(locked.operations, key=lambda each: (-each.priority, each.due_time, each.key))
    return _Locked(best[: due.limit], locked.moment, locked.candidates)


async def _lock(connection: Connection, query: str, *arguments: Any) -> _Locked:
    rows = await connection.fetch(query, *arguments)
    now, time, judge_from, candidates = rows[-1][:4]
    operations = [operation_from(row[4:]) for row in rows if row[4] is not None]
    return _Locked(operations, Moment(now, Watermark(time, judge_from)), candidates)


def _unzipped(keys: Sequence[Key]) -> tuple[list[str], list[str]]:
    ordered = sorted(set(keys))
    return [key.namespace for key in ordered], [key.operation_id for key in ordered]
