"""Does what time asks for: ends what has timed out, takes back what was lost or astray, purges what is old."""

import asyncio
from collections.abc import Callable

import structlog

from rejoinder_server.announcer import Announcer
from rejoinder_server.editor import Editor
from rejoinder_server.hub import wait
from rejoinder_server.lifecycle import Edit
from rejoinder_server.operation import Instant, State, Watermark
from rejoinder_server.store.port import Astray, ByKey, Expired, Lapsed, Moment, Selection, StoreUnavailable, Writes

log = structlog.get_logger(__name__)

BATCH = 200
"""Rows of one transaction, so that none holds its locks, or the event loop, for long."""

TERMINAL = tuple(state for state in State if state.is_terminal)


class Sweeper:
    """Looks for passed deadlines every `interval` seconds; any number of servers may do so at once.

    What waits or has ended is judged by the store's time. What runs is judged by the watermark, so that neither unread
    reports nor an outage expires it.
    """

    def __init__(self, *, editor: Editor, announcer: Announcer, interval: float) -> None:
        self._editor = editor
        self._store = editor.store
        self._announcer = announcer
        self._interval = interval
        self._flag = asyncio.Event()

    def wake(self) -> None:
        """Sweep at once."""
        self._flag.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreUnavailable as error:
                log.debug("not swept", error=str(error))
            except Exception:
                log.exception("sweep failed")
            await wait(self._flag, self._interval)
            self._flag.clear()

    async def sweep(self) -> None:
        """Sweep once."""
        now = await self._store.now()
        await self._repeat(Expired((State.ACCEPTED,), now, BATCH), _expire)
        await self._repeat(Expired(TERMINAL, now, BATCH), _expire)
        if (judged := _judged(await self._store.watermark())) is not None:
            await self._repeat(Expired((State.RUNNING,), judged, BATCH), _expire)
            await self._repeat(Lapsed(judged, BATCH), _lapse)
            await self._forget_workers(judged)
        await self._cut_leases()
        await self.move_astray()

    async def move_astray(self) -> None:
        """Move what waits into the queue of its type, batch by batch until nothing is left to move.

        A type's queue changes with an announcement, and what was submitted or ran meanwhile may come to wait in the
        queue before. May be called at any time, by several tasks and servers at once: they take different rows.
        """
        moved = 0
        while count := await self._move_batch():
            moved += count
        if moved:
            log.info("moved to the queue of their type", operations=moved)

    async def _move_batch(self) -> int:
        # Read for each batch: a mover that began before a later announcement must not work against it.
        queues = {record.name: record.queue for record in await self._store.types()}
        if not queues:
            return 0
        writes = await self._editor.each(Astray(queues, BATCH), lambda edit, _: edit.move(queues[edit.operation.type]))
        self._announcer.changed(writes.changes)
        return len(writes.changes)

    async def _repeat(self, selection: Selection, verb: Callable[[Edit, Moment], None]) -> None:
        """Sweep a selection batch by batch until one is not full."""
        count = BATCH
        while count == BATCH:
            writes = await self._editor.each(selection, verb)
            self._announcer.changed(writes.changes, stop=True)
            count = len(writes.changes)

    async def _forget_workers(self, judged: Instant) -> None:
        """Forget worker processes that were not heard of for a lease."""
        gone = {worker.worker for worker in await self._store.workers() if worker.lease_time < judged}
        if gone:
            log.warning("workers lost", workers=sorted(gone))
            await self._store.transact(ByKey(()), lambda _operations, _moment: Writes(workers_lapsed=judged))

    async def _cut_leases(self) -> None:
        """Cut leases that no worker can have been given: the store's clock was ahead then, and was set back."""
        rules = self._editor.rules
        await self._store.transact(
            ByKey(()),
            lambda _operations, moment: Writes(longest_lease=rules.lease_time(moment.now, moment.watermark)),
        )


def _judged(watermark: Watermark) -> Instant | None:
    """Return the instant that running attempts are judged against; None while nothing may be judged."""
    return watermark.time if watermark.time >= watermark.judge_from else None


def _expire(edit: Edit, moment: Moment) -> None:
    edit.expire(running_before=_judged(moment.watermark))


def _lapse(edit: Edit, moment: Moment) -> None:
    operation, judged = edit.operation, _judged(moment.watermark)
    if judged is not None and operation.lease_time is not None and operation.lease_time < judged:
        log.warning(
            "attempt lost", operation_id=operation.operation_id, attempt=operation.attempt, worker=operation.worker
        )
        edit.lose()
