"""The SQL of the SQLite store: each statement once, with its purpose."""

# ruff: noqa: S608 - statements are put together from constants; every value is an argument

from collections.abc import Sequence
from typing import Any, Final

from rejoinder_server.operation import State
from rejoinder_server.store.columns import (
    CHANGEABLE,
    EVERYWHERE,
    LIVING,
    OPERATION,
    REQUEST,
    TRANSITION,
    TYPE,
    WORKER,
    Columns,
    named,
)
from rejoinder_server.store.port import Query


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _insert(table: str, columns: Columns) -> str:
    return f"INSERT INTO {table} ({named(columns)}) VALUES ({_marks(len(columns))})"


def _replace(table: str, key: str, columns: Columns) -> str:
    rest = [name for name in columns if name not in {"namespace", key}]
    updates = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return f"{_insert(table, columns)} ON CONFLICT (namespace, {key}) DO UPDATE SET {updates}"


_OPERATIONS: Final = f"SELECT {named(OPERATION)} FROM operations"

# Stores an operation unless another one has one of its keys.
STORE: Final = f"{_insert('operations', OPERATION)} ON CONFLICT DO NOTHING"
STORE_TRANSITION: Final = _insert("transitions", TRANSITION)
STORE_REQUEST: Final = _insert("requests", REQUEST)

BY_KEY: Final = f"{_OPERATIONS} WHERE namespace = ? AND operation_id = ?"
BY_REQUEST_ID: Final = f"{_OPERATIONS} WHERE namespace = ? AND type = ? AND request_id = ?"

# The highest priority below one, among what waits of a type.
NEXT_PRIORITY: Final = """
SELECT priority FROM operations WHERE state = 1 AND queue = ? AND type = ? AND priority < ?
ORDER BY priority DESC LIMIT 1
"""

# What is due of one type and priority, in order. What waits for a later time is not read.
DUE: Final = f"""
{_OPERATIONS} WHERE state = 1 AND queue = ? AND type = ? AND priority = ? AND due_time <= ?
ORDER BY due_time, namespace, operation_id LIMIT ?
"""

# What waits, by stepping up the index of that: the next type in a queue, and the first of the next queue.
NEXT_TYPE: Final = """
SELECT queue, type FROM operations INDEXED BY operations_due WHERE state = 1 AND queue = ? AND type > ?
ORDER BY type LIMIT 1
"""
NEXT_QUEUE: Final = """
SELECT queue, type FROM operations INDEXED BY operations_due WHERE state = 1 AND queue > ? ORDER BY queue, type LIMIT 1
"""
WAITING_OF_KIND: Final = f"""
{_OPERATIONS} INDEXED BY operations_due WHERE state = 1 AND queue = ? AND type = ?
ORDER BY priority DESC, due_time, namespace, operation_id LIMIT ?
"""

RUNNING_BY_WORKER: Final = f"{_OPERATIONS} WHERE state = 2 AND worker = ?"

EXPIRED: Final = f"""
{_OPERATIONS} WHERE state = ? AND expire_time <= ? ORDER BY expire_time, namespace, operation_id LIMIT ?
"""

# Reads all that runs, by the small index of that: an index of lease times would be written at every heartbeat.
LAPSED: Final = f"""
{_OPERATIONS} INDEXED BY operations_running WHERE state = 2 AND lease_time < ?
ORDER BY lease_time, namespace, operation_id LIMIT ?
"""

# Changes an operation, guarded by the revision that was read.
CHANGE: Final = {
    written: f"""
UPDATE operations SET ({named(written)}) = ({_marks(len(written))})
WHERE namespace = ? AND operation_id = ? AND revision = ?
"""
    for written in (LIVING, CHANGEABLE)
}
REMOVE: Final = "DELETE FROM operations WHERE namespace = ? AND operation_id = ? AND revision = ?"
FORGET: Final = (
    "DELETE FROM requests WHERE namespace = ? AND uid = ?",
    "DELETE FROM transitions WHERE namespace = ? AND uid = ?",
)
LEASE: Final = "UPDATE operations SET lease_time = ? WHERE namespace = ? AND operation_id = ? AND state = 2"

ANNOUNCE: Final = _replace("types", "name", TYPE)
REGISTER: Final = _replace("workers", "worker", WORKER)
SEE: Final = f"UPDATE types SET last_seen_time = ? WHERE namespace = '{EVERYWHERE}' AND name = ?"
DISMISS: Final = f"DELETE FROM workers WHERE namespace = '{EVERYWHERE}' AND worker = ?"

# Forgets worker processes that were not heard of.
DISMISS_LAPSED: Final = f"DELETE FROM workers WHERE namespace = '{EVERYWHERE}' AND lease_time < ?"

# Cuts leases that are longer than any can be.
CUT: Final = (
    "UPDATE operations INDEXED BY operations_running SET lease_time = :most WHERE state = 2 AND lease_time > :most",
    f"UPDATE workers SET lease_time = :most WHERE namespace = '{EVERYWHERE}' AND lease_time > :most",
)

MARK: Final = f"UPDATE watermark SET time = ?, judge_from = ? WHERE namespace = '{EVERYWHERE}'"

PAYLOAD: Final = "SELECT payload FROM requests WHERE namespace = ? AND uid = ?"
HISTORY: Final = f"""
SELECT {named(TRANSITION)} FROM transitions WHERE namespace = ? AND uid = ? AND sequence > ? AND sequence <= ?
ORDER BY sequence
"""
TYPES: Final = f"SELECT {named(TYPE)} FROM types WHERE namespace = '{EVERYWHERE}' ORDER BY name"
WORKERS: Final = f"SELECT {named(WORKER)} FROM workers WHERE namespace = '{EVERYWHERE}' ORDER BY worker"
WATERMARK: Final = f"SELECT time, judge_from FROM watermark WHERE namespace = '{EVERYWHERE}'"

# What waits, counted from its index alone.
WAITING: Final = """
SELECT namespace, type, queue, count(*), min(CASE WHEN due_time <= ? THEN due_time END)
FROM operations INDEXED BY operations_due WHERE state = 1 GROUP BY namespace, type, queue
ORDER BY namespace, type, queue
"""
DUE_KINDS: Final = """
SELECT DISTINCT queue, type FROM operations INDEXED BY operations_schedule
WHERE state = 1 AND due_time > ? AND due_time <= ? ORDER BY queue, type
"""
NEXT_DUE_TIME: Final = """
SELECT due_time FROM operations INDEXED BY operations_schedule WHERE state = 1 AND due_time > ?
ORDER BY due_time LIMIT 1
"""

# Counted from the listing's index alone, which has no tombstones.
COUNTS: Final = """
SELECT state, count(*) FROM operations INDEXED BY operations_listing WHERE purged_time IS NULL GROUP BY state
"""


_WITHOUT_RESULT: Final = (
    f"SELECT {named(name for name in OPERATION if name != 'result')}, NULL AS result FROM operations"
)

# How many bytes of an operation are bounded by their number alone; lengths are known without reading what they measure.
_SIZE: Final = "coalesce(length(progress), 0) + coalesce(length(error), 0)"
_SIZE_WITH_OUTCOME: Final = f"""{_SIZE} + coalesce(length(result), 0) + coalesce(
    (SELECT length(payload) FROM requests
    WHERE requests.namespace = operations.namespace AND requests.uid = operations.uid), 0)"""


def listed(query: Query) -> str:
    """Return the statement that reads one operation of a listing by its key."""
    return BY_KEY if query.with_outcomes else f"{_WITHOUT_RESULT} WHERE namespace = ? AND operation_id = ?"


def listings(query: Query) -> list[tuple[str, list[Any]]]:
    """Return the statements, with their arguments, whose results merged are what a query selects.

    Their rows are create time, operation id, and how much an operation adds to `most_bytes`.
    """
    states = sorted(set(query.states) or State)
    where, arguments = _conditions(query)
    size = "0" if query.most_bytes is None else _SIZE_WITH_OUTCOME if query.with_outcomes else _SIZE
    chosen = f"SELECT create_time, operation_id, {size} FROM operations"
    newest = "ORDER BY create_time DESC, operation_id DESC LIMIT ?"
    if query.correlation_id:
        among, numbers = _among("+state", [int(state) for state in states])
        statement = f"""
{chosen} INDEXED BY operations_correlation WHERE {where} AND correlation_id = ? AND {among} {newest}
"""
        return [(statement, [*arguments, query.correlation_id, *numbers, query.limit])]
    # The newest of each state, each a range of one index.
    statement = f"{chosen} INDEXED BY operations_listing WHERE {where} AND state = ? {newest}"
    return [(statement, [*arguments, int(state), query.limit]) for state in states]


def _conditions(query: Query) -> tuple[str, list[Any]]:
    conditions = ["namespace = ?", "purged_time IS NULL"]
    arguments: list[Any] = [query.namespace]

    def require(condition: str, *values: Any) -> None:
        conditions.append(condition)
        arguments.extend(values)

    for column, wanted in (("type", query.types), ("queue", query.queues)):
        if wanted:
            among, names = _among(column, wanted)
            require(among, *names)
    for label in query.labels.items():
        require("EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)", *label)
    if query.error_reason:
        require("error_reason = ?", query.error_reason)
    if query.create_time_from is not None:
        require("create_time >= ?", query.create_time_from)
    if query.create_time_before is not None:
        require("create_time < ?", query.create_time_before)
    if query.before is not None:
        require("(create_time, operation_id) < (?, ?)", *query.before)
    return " AND ".join(conditions), arguments


def _among(column: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    unique = sorted(set(values))
    return f"{column} IN ({_marks(len(unique))})", unique
