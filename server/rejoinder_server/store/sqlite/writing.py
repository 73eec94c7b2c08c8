"""What a transaction writes to SQLite."""

import sqlite3
from collections.abc import Iterable, Sequence

from rejoinder_server.operation import Acceptance, Change, Operation
from rejoinder_server.store.columns import OPERATION
from rejoinder_server.store.port import StoreError, Submission, Writes
from rejoinder_server.store.rows import (
    Row,
    columns_to_write,
    kept,
    operation_from,
    operation_row,
    transition_row,
    type_row,
    worker_row,
)
from rejoinder_server.store.sqlite import statements


def store(connection: sqlite3.Connection, acceptances: Iterable[Acceptance]) -> list[Submission]:
    """Store each operation that is new, and find what stands in the way of the others."""
    return [_store(connection, acceptance) for acceptance in acceptances]


def write(connection: sqlite3.Connection, writes: Writes) -> None:
    """Write all parts, in the transaction that selected what they change.

    Raises:
        StoreError: An operation is not as it was read, which the transaction rules out.
    """
    _write_changes(connection, writes.changes)
    connection.executemany(
        statements.LEASE, [(time, key.namespace, key.operation_id) for key, time in writes.leases.items()]
    )
    connection.executemany(statements.ANNOUNCE, map(type_row, writes.types.values()))
    connection.executemany(statements.SEE, [(time, name) for name, time in writes.types_seen.items()])
    connection.executemany(statements.REGISTER, map(worker_row, writes.workers.values()))
    connection.executemany(statements.DISMISS, [(worker,) for worker in writes.workers_gone])
    if writes.workers_lapsed is not None:
        connection.execute(statements.DISMISS_LAPSED, (writes.workers_lapsed,))
    if writes.longest_lease is not None:
        for statement in statements.CUT:
            connection.execute(statement, {"most": writes.longest_lease})
    if writes.watermark is not None:
        connection.execute(statements.MARK, (writes.watermark.time, writes.watermark.judge_from))


def _store(connection: sqlite3.Connection, acceptance: Acceptance) -> Submission:
    operation = acceptance.operation
    if connection.execute(statements.STORE, operation_row(operation)).rowcount:
        connection.execute(statements.STORE_TRANSITION, transition_row(acceptance.transition))
        connection.execute(statements.STORE_REQUEST, (operation.namespace, operation.uid, acceptance.request))
        return Submission(operation, is_new=True)
    other = _in_the_way(connection, operation)
    # Our own when an earlier try was given up before its commit was known.
    return Submission(other, is_new=other.uid == operation.uid)


def _in_the_way(connection: sqlite3.Connection, operation: Operation) -> Operation:
    row = connection.execute(
        statements.BY_REQUEST_ID, (operation.namespace, operation.type, operation.request_id)
    ).fetchone()
    if row is None:
        row = connection.execute(statements.BY_KEY, (operation.namespace, operation.operation_id)).fetchone()
    if row is None:
        raise StoreError(f"the uid {operation.uid} is another operation's")
    return operation_from(row)


def _write_changes(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    pairs = kept(changes)
    _change_operations(connection, pairs)
    transitions = [transition_row(each) for change in changes if change.after for each in change.transitions]
    connection.executemany(statements.STORE_TRANSITION, transitions)
    gone = [change.before for change in changes if change.after is None]
    purged = [before for before, after in pairs if before.purged_time is None and after.purged_time is not None]
    for statement in statements.FORGET:
        connection.executemany(statement, [(each.namespace, each.uid) for each in gone + purged])
    _guarded(connection, statements.REMOVE, [(each.namespace, each.operation_id, each.revision) for each in gone])


def _change_operations(connection: sqlite3.Connection, pairs: Sequence[tuple[Operation, Operation]]) -> None:
    written = columns_to_write(pairs)
    order = [list(OPERATION).index(name) for name in written]
    rows = []
    for before, after in pairs:
        row = operation_row(after)
        rows.append((*(row[index] for index in order), before.namespace, before.operation_id, before.revision))
    _guarded(connection, statements.CHANGE[written], rows)


def _guarded(connection: sqlite3.Connection, statement: str, rows: Sequence[Row]) -> None:
    if rows and connection.executemany(statement, rows).rowcount != len(rows):
        raise StoreError("an operation changed under the lock that was held on it")
