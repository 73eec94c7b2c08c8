"""What is read from PostgreSQL without a lock: one statement each, so as of one instant."""

# ruff: noqa: S608 - statements are put together from constants; every value is an argument

from typing import Any, Final

from rejoinder_server.operation import State
from rejoinder_server.store.columns import EVERYWHERE, OPERATION, TRANSITION, TYPE, WORKER, named
from rejoinder_server.store.port import Query
from rejoinder_server.store.postgres.locking import STATEMENT_TIME
from rejoinder_server.store.rows import json_text

# Operations by key, in the order of the keys; nulls for what does not exist.
READ: Final = f"""
SELECT operation.* FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (namespace, operation_id, place)
LEFT JOIN LATERAL (
    SELECT {named(OPERATION)} FROM operations
    WHERE namespace = asked.namespace AND operation_id = asked.operation_id LIMIT 1
) AS operation ON true
ORDER BY asked.place
"""

# Request payloads in the order of the uids; nulls for what was purged.
REQUESTS: Final = """
SELECT request.payload FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (namespace, uid, place)
LEFT JOIN LATERAL (
    SELECT payload FROM requests WHERE namespace = asked.namespace AND uid = asked.uid LIMIT 1
) AS request ON true
ORDER BY asked.place
"""

# Parts of histories, each row with the place of its part.
HISTORY: Final = f"""
SELECT asked.place, transition.*
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
    WITH ORDINALITY AS asked (namespace, uid, after, through, place)
CROSS JOIN LATERAL (
    SELECT {named(TRANSITION)} FROM transitions
    WHERE namespace = asked.namespace AND uid = asked.uid AND sequence > asked.after AND sequence <= asked.through
    ORDER BY sequence OFFSET 0
) AS transition
ORDER BY asked.place, transition.sequence
"""

TYPES: Final = f"SELECT {named(TYPE)} FROM types WHERE namespace = '{EVERYWHERE}' ORDER BY name"

WORKERS: Final = f"SELECT {named(WORKER)} FROM workers WHERE namespace = '{EVERYWHERE}' ORDER BY worker"

WATERMARK: Final = f"SELECT time, judge_from FROM watermark WHERE namespace = '{EVERYWHERE}'"

# What waits, counted from its index alone.
WAITING: Final = f"""
SELECT namespace, type, queue, count(*), min(due_time) FILTER (WHERE due_time <= {STATEMENT_TIME})
FROM operations WHERE state = 1 GROUP BY namespace, type, queue ORDER BY namespace, type, queue
"""

DUE_KINDS: Final = """
SELECT DISTINCT queue, type FROM operations WHERE state = 1 AND due_time > $1 AND due_time <= $2 ORDER BY queue, type
"""

NEXT_DUE_TIME: Final = """
SELECT due_time FROM operations WHERE state = 1 AND due_time > $1 ORDER BY due_time LIMIT 1
"""

COUNTS: Final = "SELECT state, count(*) FROM operations WHERE purged_time IS NULL GROUP BY state"


_WITHOUT_RESULT: Final = f"{named(name for name in OPERATION if name != 'result')}, NULL::bytea AS result"

# How many bytes of an operation are bounded by their number alone; lengths are known without reading what they measure.
_SIZE: Final = "coalesce(length(progress), 0) + coalesce(length(error), 0)"
_SIZE_WITH_OUTCOME: Final = f"""{_SIZE} + coalesce(length(result), 0) + coalesce(
    (SELECT length(payload) FROM requests
    WHERE requests.namespace = page.namespace AND requests.uid = page.uid), 0)"""


def listing(query: Query) -> tuple[str, list[Any]]:
    """Return the statement and the arguments that list what a query selects."""
    arguments: list[Any] = []

    def argument(value: Any, kind: str) -> str:
        arguments.append(value)
        return f"${len(arguments)}::{kind}"

    where = [f"namespace = {argument(query.namespace, 'text')}", "purged_time IS NULL"]
    if query.types:
        where.append(f"type = ANY ({argument(list(query.types), 'text[]')})")
    if query.queues:
        where.append(f"queue = ANY ({argument(list(query.queues), 'text[]')})")
    if query.correlation_id:
        where.append(f"correlation_id = {argument(query.correlation_id, 'text')}")
    if query.labels:
        where.append(f"labels @> {argument(json_text(query.labels), 'jsonb')}")
    if query.error_reason:
        where.append(f"error_reason = {argument(query.error_reason, 'text')}")
    if query.create_time_from is not None:
        where.append(f"create_time >= {argument(query.create_time_from, 'bigint')}")
    if query.create_time_before is not None:
        where.append(f"create_time < {argument(query.create_time_before, 'bigint')}")
    if query.before is not None:
        time, operation_id = query.before
        place = f"{argument(time, 'bigint')}, {argument(operation_id, 'text')}"
        where.append(f"(create_time, operation_id) < ({place})")
    states = argument([int(state) for state in set(query.states) or State], "bigint[]")
    limit = argument(query.limit, "bigint")
    columns = named(OPERATION) if query.with_outcomes else _WITHOUT_RESULT
    if query.most_bytes is None:
        return _newest(columns, " AND ".join(where), states, limit, query), arguments
    # What stands before an operation decides whether it is listed: large values are read only of those that are.
    statement = f"""
SELECT {named(OPERATION)} FROM (
    SELECT *, row_number() OVER newest AS place, sum(size) OVER newest - size AS before
    FROM (
        SELECT page.*, {_SIZE_WITH_OUTCOME if query.with_outcomes else _SIZE} AS size
        FROM ({_newest(columns, " AND ".join(where), states, limit, query)}) AS page
    ) AS sized
    WINDOW newest AS (ORDER BY create_time DESC, operation_id DESC)
) AS listed
WHERE place <= 2 OR before <= {argument(query.most_bytes, "bigint")}
ORDER BY place
"""
    return statement, arguments


def _newest(columns: str, where: str, states: str, limit: str, query: Query) -> str:
    """Write what reads columns of the newest operations."""
    newest = f"ORDER BY create_time DESC, operation_id DESC LIMIT {limit}"
    if query.correlation_id:
        return f"SELECT {columns} FROM operations WHERE {where} AND state = ANY ({states}) {newest}"
    # The newest of each state, each a range of one index, merged.
    return f"""
SELECT newest.* FROM unnest({states}) AS asked (state) CROSS JOIN LATERAL (
    SELECT {columns} FROM operations WHERE {where} AND state = asked.state {newest}
) AS newest
{newest}
"""
