"""What a transaction writes to PostgreSQL: one statement for each part of `Writes` that is not empty."""

# ruff: noqa: S608 - statements are put together from constants; every value is an argument

from collections.abc import Iterable, Sequence
from typing import Final

from rejoinder_server.operation import Change, Instant, Key, Operation, TypeRecord, Watermark, WorkerRecord
from rejoinder_server.store.columns import (
    CHANGEABLE,
    EVERYWHERE,
    LIVING,
    OPERATION,
    TRANSITION,
    TYPE,
    WORKER,
    Columns,
    Kind,
    named,
)
from rejoinder_server.store.port import StoreError, Writes
from rejoinder_server.store.postgres.arrays import transposed, unnest, values
from rejoinder_server.store.postgres.connections import Connection
from rejoinder_server.store.rows import columns_to_write, kept, operation_row, transition_row, type_row, worker_row


def _read_columns(written: Sequence[str]) -> Columns:
    guard = {"namespace": Kind.TEXT, "operation_id": Kind.TEXT, "revision_before": Kind.INTEGER}
    return guard | {name: OPERATION[name] for name in written}


def _change(written: Sequence[str]) -> str:
    columns = _read_columns(written)
    new = {name: OPERATION[name] for name in written}
    return f"""
WITH changed AS (
    UPDATE operations SET ({named(written)}) = ROW ({values(new, qualifier="new.")})
    FROM {unnest(columns)} AS new ({named(columns)})
    WHERE operations.namespace = new.namespace AND operations.operation_id = new.operation_id
        AND operations.revision = new.revision_before
    RETURNING 1
), noted AS (
    INSERT INTO transitions ({named(TRANSITION)})
    SELECT * FROM {unnest(TRANSITION, first=len(columns) + 1)} AS new ({named(TRANSITION)})
)
SELECT count(*) FROM changed
"""


# Changes operations, guarded by the revisions that were read under the locks, and adds transitions.
_CHANGE: Final = {written: _change(written) for written in (LIVING, CHANGEABLE)}

# Forgets what an operation asked and how it went.
_FORGET: Final = """
WITH gone AS (SELECT * FROM unnest($1::text[], $2::text[]) AS gone (namespace, uid)), forgotten AS (
    DELETE FROM requests USING gone WHERE requests.namespace = gone.namespace AND requests.uid = gone.uid
)
DELETE FROM transitions USING gone WHERE transitions.namespace = gone.namespace AND transitions.uid = gone.uid
"""

# Removes operations, guarded as their changes are.
_REMOVE: Final = """
WITH removed AS (
    DELETE FROM operations
    USING unnest($1::text[], $2::text[], $3::bigint[]) AS gone (namespace, operation_id, revision)
    WHERE operations.namespace = gone.namespace AND operations.operation_id = gone.operation_id
        AND operations.revision = gone.revision
    RETURNING 1
)
SELECT count(*) FROM removed
"""

# Extends leases; only what runs has one.
_LEASE: Final = """
UPDATE operations SET lease_time = lease.lease_time
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS lease (namespace, operation_id, lease_time)
WHERE operations.namespace = lease.namespace AND operations.operation_id = lease.operation_id
    AND operations.lease_time IS NOT NULL
"""


def _replace(table: str, key: str, columns: Columns) -> str:
    rest = [name for name in columns if name not in {"namespace", key}]
    return f"""
INSERT INTO {table} ({named(columns)})
SELECT {values(columns)} FROM {unnest(columns)} AS new ({named(columns)})
ON CONFLICT (namespace, {key}) DO UPDATE SET ({named(rest)}) = ROW ({named(rest, qualifier="excluded.")})
"""


_ANNOUNCE: Final = _replace("types", "name", TYPE)
_REGISTER: Final = _replace("workers", "worker", WORKER)

# Notes when the workers of types were last heard of.
_SEE: Final = f"""
UPDATE types SET last_seen_time = seen.time FROM unnest($1::text[], $2::bigint[]) AS seen (name, time)
WHERE types.namespace = '{EVERYWHERE}' AND types.name = seen.name
"""

# Forgets worker processes.
_DISMISS: Final = f"DELETE FROM workers WHERE namespace = '{EVERYWHERE}' AND worker = ANY ($1::text[])"

# Forgets worker processes that were not heard of; one that was heard of meanwhile stays.
_DISMISS_LAPSED: Final = f"DELETE FROM workers WHERE namespace = '{EVERYWHERE}' AND lease_time < $1"

# Cuts leases that are longer than any can be.
_CUT: Final = (
    "UPDATE operations SET lease_time = $1 WHERE state = 2 AND lease_time > $1",
    f"UPDATE workers SET lease_time = $1 WHERE namespace = '{EVERYWHERE}' AND lease_time > $1",
)

# Moves the watermark.
_MARK: Final = f"UPDATE watermark SET time = $1, judge_from = $2 WHERE namespace = '{EVERYWHERE}'"


async def write(connection: Connection, writes: Writes) -> None:
    """Write all parts, in the transaction that locked what they change.

    Raises:
        StoreError: An operation is no longer as it was read, which its lock rules out.
    """
    if writes.changes:
        await _write_changes(connection, writes.changes)
    if writes.leases:
        await _write_leases(connection, writes.leases)
    if writes.types:
        await _write_types(connection, writes.types.values())
    if writes.types_seen:
        await connection.execute(_SEE, *zip(*sorted(writes.types_seen.items()), strict=True))
    if writes.workers:
        await _write_workers(connection, writes.workers.values())
    if writes.workers_gone:
        await connection.execute(_DISMISS, sorted(writes.workers_gone))
    if writes.workers_lapsed is not None:
        await connection.execute(_DISMISS_LAPSED, writes.workers_lapsed)
    if writes.longest_lease is not None:
        for statement in _CUT:
            await connection.execute(statement, writes.longest_lease)
    if writes.watermark is not None:
        await _write_watermark(connection, writes.watermark)


async def _write_changes(connection: Connection, changes: Sequence[Change]) -> None:
    pairs = kept(changes)
    if pairs:
        await _change_operations(connection, pairs, changes)
    gone = [change.before for change in changes if change.after is None]
    purged = [before for before, after in pairs if before.purged_time is None and after.purged_time is not None]
    if gone or purged:
        uids = sorted((each.namespace, each.uid) for each in gone + purged)
        await connection.execute(_FORGET, *zip(*uids, strict=True))
    if gone:
        keys = sorted((each.namespace, each.operation_id, each.revision) for each in gone)
        _expect(await connection.fetchval(_REMOVE, *zip(*keys, strict=True)), len(gone))


async def _change_operations(
    connection: Connection, pairs: Sequence[tuple[Operation, Operation]], changes: Iterable[Change]
) -> None:
    written = columns_to_write(pairs)
    order = [list(OPERATION).index(name) for name in written]
    rows = []
    for before, after in pairs:
        row = operation_row(after)
        rows.append((before.namespace, before.operation_id, before.revision, *(row[index] for index in order)))
    transitions = [transition_row(each) for change in changes if change.after for each in change.transitions]
    changed = await connection.fetchval(
        _CHANGE[written], *transposed(rows, _read_columns(written)), *transposed(transitions, TRANSITION)
    )
    _expect(changed, len(pairs))


async def _write_leases(connection: Connection, leases: dict[Key, Instant]) -> None:
    rows = sorted((key.namespace, key.operation_id, time) for key, time in leases.items())
    await connection.execute(_LEASE, *zip(*rows, strict=True))


async def _write_types(connection: Connection, types: Iterable[TypeRecord]) -> None:
    records = sorted(types, key=lambda record: record.name)
    await connection.execute(_ANNOUNCE, *transposed(map(type_row, records), TYPE))


async def _write_workers(connection: Connection, workers: Iterable[WorkerRecord]) -> None:
    records = sorted(workers, key=lambda record: record.worker)
    await connection.execute(_REGISTER, *transposed(map(worker_row, records), WORKER))


async def _write_watermark(connection: Connection, watermark: Watermark) -> None:
    await connection.execute(_MARK, watermark.time, watermark.judge_from)


def _expect(count: int, expected: int) -> None:
    if count != expected:
        raise StoreError(f"{expected - count} of {expected} operations changed under the lock that was held on them")
