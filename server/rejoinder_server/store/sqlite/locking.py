"""What a selection locks in SQLite: whoever writes has the whole file, so it is enough to read."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from rejoinder_server.operation import Instant, Key, Operation
from rejoinder_server.store.port import Astray, ByKey, Due, Expired, Lapsed, Reported, Selection
from rejoinder_server.store.rows import operation_from
from rejoinder_server.store.sqlite import statements

_ABOVE_ALL: Final = 2**63 - 1


def select(connection: sqlite3.Connection, selection: Selection, *, now: Instant) -> list[Operation]:
    """Return the operations that a selection names, in its order."""
    match selection:
        case ByKey(keys=keys):
            return _by_key(connection, sorted(set(keys)))
        case Due():
            return _due(connection, selection, now)
        case Reported():
            return _reported(connection, selection)
        case Expired(states=states, before=before, limit=limit):
            rows = [row for state in set(states) for row in _rows(connection, statements.EXPIRED, state, before, limit)]
            return sorted(rows, key=lambda each: (each.expire_time, each.key))[:limit]
        case Lapsed(before=before, limit=limit):
            return _rows(connection, statements.LAPSED, before, limit)
        case Astray():
            return _astray(connection, selection)


def _by_key(connection: sqlite3.Connection, keys: list[Key]) -> list[Operation]:
    return [
        operation for key in keys for operation in _rows(connection, statements.BY_KEY, key.namespace, key.operation_id)
    ]


def _due(connection: sqlite3.Connection, due: Due, now: Instant) -> list[Operation]:
    best = [each for type_ in set(due.types) for each in _due_of_type(connection, due, type_, now)]
    return sorted(best, key=lambda each: (-each.priority, each.due_time, each.key))[: due.limit]


def _due_of_type(connection: sqlite3.Connection, due: Due, type_: str, now: Instant) -> list[Operation]:
    found: list[Operation] = []
    priority = _ABOVE_ALL
    while len(found) < due.limit:
        level = connection.execute(statements.NEXT_PRIORITY, (due.queue, type_, priority)).fetchone()
        if level is None:
            break
        [priority] = level
        found += _rows(connection, statements.DUE, due.queue, type_, priority, now, due.limit - len(found))
    return found


def _reported(connection: sqlite3.Connection, reported: Reported) -> list[Operation]:
    named = {each.key: each for each in _by_key(connection, sorted(set(reported.keys))) if each.purged_time is None}
    running = {
        each.key: each
        for worker in set(reported.workers)
        for each in _rows(connection, statements.RUNNING_BY_WORKER, worker)
    }
    return [operation for _, operation in sorted((named | running).items())]


def _astray(connection: sqlite3.Connection, astray: Astray) -> list[Operation]:
    found: list[Operation] = []
    for queue, type_ in _kinds_waiting(connection):
        if astray.queues.get(type_, queue) != queue:
            found += _rows(connection, statements.WAITING_OF_KIND, queue, type_, astray.limit - len(found))
        if len(found) == astray.limit:
            break
    return found


def _kinds_waiting(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Step through the queues and types in which anything waits."""
    queue, type_ = "", ""
    while kind := (
        connection.execute(statements.NEXT_TYPE, (queue, type_)).fetchone()
        or connection.execute(statements.NEXT_QUEUE, (queue,)).fetchone()
    ):
        queue, type_ = kind
        yield queue, type_


def _rows(connection: sqlite3.Connection, statement: str, *arguments: str | int) -> list[Operation]:
    return [operation_from(row) for row in connection.execute(statement, arguments)]
