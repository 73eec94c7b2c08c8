"""Storing new operations in PostgreSQL: one statement, one commit."""

# ruff: noqa: S608 - statements are put together from constants; every value is an argument

from collections.abc import Sequence
from typing import Final

from rejoinder_server.operation import Acceptance, Operation
from rejoinder_server.store.columns import OPERATION, REQUEST, TRANSITION, named
from rejoinder_server.store.port import StoreUnavailable, Submission
from rejoinder_server.store.postgres.arrays import transposed, unnest, values
from rejoinder_server.store.postgres.connections import Connection
from rejoinder_server.store.rows import operation_from, operation_row, transition_row

_ROUNDS: Final = 5

# Stores what conflicts with nothing, with its first transition and its request; returns the uids of that.
_STORE: Final = f"""
WITH stored AS (
    INSERT INTO operations ({named(OPERATION)})
    SELECT {values(OPERATION)} FROM {unnest(OPERATION)} AS new ({named(OPERATION)})
    ON CONFLICT DO NOTHING
    RETURNING uid
), noted AS (
    INSERT INTO transitions ({named(TRANSITION)})
    SELECT * FROM {unnest(TRANSITION, first=len(OPERATION) + 1)} AS new ({named(TRANSITION)})
    WHERE uid = ANY (ARRAY (SELECT uid FROM stored))
), kept AS (
    INSERT INTO requests ({named(REQUEST)})
    SELECT * FROM {unnest(REQUEST, first=len(OPERATION) + len(TRANSITION) + 1)} AS new ({named(REQUEST)})
    WHERE uid = ANY (ARRAY (SELECT uid FROM stored))
)
SELECT uid FROM stored
"""

# Finds what stood in the way: the operation with the request id, or else the one with the operation id.
_FIND: Final = f"""
SELECT asked.place, found.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
    WITH ORDINALITY AS asked (namespace, type, request_id, operation_id, place)
CROSS JOIN LATERAL (
    SELECT {named(OPERATION)} FROM (
        SELECT 1 AS rank, {named(OPERATION)} FROM operations
        WHERE namespace = asked.namespace AND type = asked.type AND request_id = asked.request_id
        UNION ALL
        SELECT 2, {named(OPERATION)} FROM operations
        WHERE namespace = asked.namespace AND operation_id = asked.operation_id
    ) AS either ORDER BY rank LIMIT 1
) AS found
"""


async def submit(connection: Connection, acceptances: Sequence[Acceptance]) -> list[Submission]:
    """Store what is new, and find what stood in the way of the rest."""
    submissions: dict[int, Submission] = {}
    for _ in range(_ROUNDS):
        # In the order of the request ids: two servers that are sent the same requests then wait for each other in
        # one direction only.
        pending = sorted(
            (place for place in range(len(acceptances)) if place not in submissions),
            key=lambda place: _request_key(acceptances[place].operation),
        )
        stored = await _store(connection, [acceptances[place] for place in pending])
        submissions |= {
            place: Submission(acceptances[place].operation, is_new=True)
            for place in pending
            if acceptances[place].operation.uid in stored
        }
        others = [place for place in pending if place not in submissions]
        found = await _find(connection, [acceptances[place].operation for place in others])
        for index, operation in found.items():
            # Our own when an earlier try was cut off after its commit.
            is_ours = operation.uid == acceptances[others[index]].operation.uid
            submissions[others[index]] = Submission(operation, is_new=is_ours)
        if len(submissions) == len(acceptances):
            return [submissions[place] for place in range(len(acceptances))]
        # What stood in the way of the rest was removed between the two statements.
    raise StoreUnavailable("operations in the way of a submit came and went too quickly")


async def _store(connection: Connection, acceptances: Sequence[Acceptance]) -> set[str]:
    operations = transposed((operation_row(each.operation) for each in acceptances), OPERATION)
    transitions = transposed((transition_row(each.transition) for each in acceptances), TRANSITION)
    requests = transposed(
        ((each.operation.namespace, each.operation.uid, each.request) for each in acceptances), REQUEST
    )
    rows = await connection.fetch(_STORE, *operations, *transitions, *requests)
    return {row[0] for row in rows}


async def _find(connection: Connection, operations: Sequence[Operation]) -> dict[int, Operation]:
    if not operations:
        return {}
    keys = [(each.namespace, each.type, each.request_id, each.operation_id) for each in operations]
    rows = await connection.fetch(_FIND, *zip(*keys, strict=True))
    return {row[0] - 1: operation_from(row[1:]) for row in rows}


def _request_key(operation: Operation) -> tuple[str, str, str]:
    return operation.namespace, operation.type, operation.request_id
