"""Short ways to put a store into the state that a test begins with."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rejoinder_server.operation import Acceptance, Change, Key, Operation
from rejoinder_server.store.port import ByKey, Decide, Due, Moment, Selection, Store, Writes
from tests.support.operations import acceptance


async def stored(store: Store, **fields: Any) -> Operation:
    """Store an operation with these fields, and return it."""
    [operation] = await stored_all(store, acceptance(**fields))
    return operation


async def stored_all(store: Store, *acceptances: Acceptance) -> list[Operation]:
    """Store operations that are all new, and return them."""
    submissions = await store.submit(acceptances)
    assert all(submission.is_new for submission in submissions)
    return [submission.operation for submission in submissions]


async def change(store: Store, operations: Iterable[Operation], make: Callable[[Operation], Change]) -> list[Operation]:
    """Change operations, each as `make` says, and return what they have become."""
    keys = [operation.key for operation in operations]
    writes = await store.transact(
        ByKey(keys), lambda rows, _moment: Writes(changes=[make(operation) for operation in rows])
    )
    return [change.after for change in writes.changes if change.after is not None]


async def changed(store: Store, operation: Operation, make: Callable[[Operation], Change]) -> Operation:
    """Change one operation, and return what it has become."""
    [after] = await change(store, [operation], make)
    return after


async def selected(store: Store, selection: Selection) -> list[Operation]:
    """Return what a selection names, without changing it."""
    found: list[Operation] = []
    await store.transact(selection, seeing(found))
    return found


def seeing(found: list[Operation], moments: list[Moment] | None = None) -> Decide:
    """Return what decides nothing and notes what it was shown."""

    def decide(rows: Sequence[Operation], moment: Moment) -> Writes:
        found[:] = rows
        if moments is not None:
            moments[:] = [moment]
        return Writes()

    return decide


async def read_one(store: Store, key: Key) -> Operation | None:
    """Return the operation with a key."""
    [operation] = await store.read([key])
    return operation


async def due_ids(store: Store, *types: str, queue: str = "reports", limit: int = 100) -> list[str]:
    """Return the ids of what is due, in order."""
    due = await selected(store, Due(queue, types or ("reports.generate",), limit))
    return [operation.operation_id for operation in due]
