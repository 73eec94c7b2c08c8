"""Reads operations for many callers at once."""

from collections.abc import Sequence

from rejoinder_server.batcher import Batcher
from rejoinder_server.errors import PurgedOperation, UnknownOperation
from rejoinder_server.operation import Key, Operation
from rejoinder_server.store.port import Store

MOST_KEYS = 500


class Reader:
    """Point reads that share a query: many watchers of one change cost one read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batcher: Batcher[Key, Operation | None] = Batcher(self._read, most=MOST_KEYS)

    async def read(self, key: Key) -> Operation:
        """Return an operation as the store has it at some instant after the call began.

        Raises:
            UnknownOperation: There is none.
            PurgedOperation: Only its tombstone is left.
        """
        operation = await self._batcher(key)
        if operation is None:
            raise UnknownOperation(key.operation_id)
        if operation.purged_time is not None:
            raise PurgedOperation(key.operation_id, operation.purged_time)
        return operation

    async def _read(self, keys: Sequence[Key]) -> Sequence[Operation | None]:
        distinct = list(dict.fromkeys(keys))
        found = dict(zip(distinct, await self._store.read(distinct), strict=True))
        return [found[key] for key in keys]

    async def close(self) -> None:
        """Wait for the reads under way."""
        await self._batcher.close()
