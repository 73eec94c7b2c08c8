from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from rejoinder_server.operation import SECOND, Change, Key, Operation, State, Watermark, WorkerRecord
from rejoinder_server.store.port import (
    ByKey,
    Expired,
    HistorySpan,
    Lapsed,
    Moment,
    Reported,
    Store,
    StoreError,
    StoreUnavailable,
    Writes,
)
from tests.support.operations import BEGIN, acceptance, granted, moved, purged, transition
from tests.support.storing import change, changed, read_one, seeing, selected, stored, stored_all


def ids(operations: Sequence[Operation]) -> list[str]:
    return [operation.operation_id for operation in operations]


async def test_a_selection_by_key_has_what_exists(store: Store) -> None:
    first, second = await stored_all(store, acceptance(operation_id="a"), acceptance(operation_id="b"))
    keys = [second.key, Key("default", "unknown"), Key("other", "a"), first.key, second.key]
    assert [first, second] == await selected(store, ByKey(keys))


async def test_a_selection_by_key_has_tombstones(store: Store) -> None:
    tombstone = await changed(store, await stored(store), lambda it: purged(it, at=BEGIN))
    assert [tombstone] == await selected(store, ByKey([tombstone.key]))


async def test_a_selection_of_nothing_still_tells_the_moment(store: Store) -> None:
    found: list[Operation] = []
    moments: list[Moment] = []
    await store.transact(ByKey([]), seeing(found, moments))
    assert ([], Watermark()) == (found, moments[0].watermark)


async def test_reported_has_keys_and_what_runs_in_workers_once_each(store: Store) -> None:
    a, b, c, d = await stored_all(store, *(acceptance(operation_id=name) for name in "abcd"))
    a = await changed(store, a, lambda it: granted(it, worker="one"))
    b = await changed(store, b, lambda it: granted(it, worker="one"))
    c = await changed(store, c, lambda it: granted(it, worker="two"))
    assert [a, b, d] == await selected(store, Reported([d.key, a.key], ["one", "none"]))


async def test_reported_leaves_out_what_has_ended_in_a_worker(store: Store) -> None:
    running = await changed(store, await stored(store), lambda it: granted(it, worker="one"))
    ended = await changed(store, running, lambda it: moved(it, state=State.SUCCEEDED))
    assert [] == await selected(store, Reported([], ["one"]))
    assert [ended] == await selected(store, Reported([ended.key], []))


async def test_reported_leaves_out_tombstones(store: Store) -> None:
    tombstone = await changed(store, await stored(store), lambda it: purged(it, at=BEGIN))
    assert [] == await selected(store, Reported([tombstone.key], []))


async def test_expired_has_the_earliest_of_the_states_first(store: Store) -> None:
    for name, expire_time in (("a", 30), ("b", 10), ("c", 20), ("d", 21), ("never", None)):
        await stored(store, operation_id=name, expire_time=expire_time)
    await stored(store, operation_id="ended", expire_time=15, state=State.FAILED)
    await stored(store, operation_id="other", expire_time=1, state=State.CANCELLED)
    assert ["b", "ended", "c"] == ids(await selected(store, Expired([State.ACCEPTED, State.FAILED], 20, 10)))
    assert ["b", "ended"] == ids(await selected(store, Expired([State.FAILED, State.ACCEPTED], 20, 2)))


async def test_expired_has_tombstones(store: Store) -> None:
    ended = await stored(store, state=State.FAILED, expire_time=10)
    tombstone = await changed(store, ended, lambda it: purged(it, at=BEGIN, expire_time=20))
    assert [] == await selected(store, Expired([State.FAILED], 19, 10))
    assert [tombstone] == await selected(store, Expired([State.FAILED], 20, 10))


async def test_lapsed_has_what_runs_with_an_earlier_lease(store: Store) -> None:
    _waiting, *running = await stored_all(store, *(acceptance(operation_id=name) for name in "abcd"))
    leases = {operation.key: 10 + index for index, operation in enumerate(running)}
    await change(store, running, lambda it: granted(it, lease_time=leases[it.key]))
    assert [] == await selected(store, Lapsed(10, 10))
    assert ["b", "c"] == ids(await selected(store, Lapsed(12, 10)))
    assert ["b"] == ids(await selected(store, Lapsed(12, 1)))


async def test_a_change_is_read_again(store: Store) -> None:
    after = await changed(store, await stored(store), granted)
    assert after == await read_one(store, after.key)


async def test_a_change_adds_its_transitions(store: Store) -> None:
    before = await stored(store)
    failure = moved(before, state=State.FAILED)
    assert failure.after is not None
    second = transition(replace(failure.after, sequence=3, nonce="third"))
    await store.transact(
        ByKey([before.key]),
        lambda _rows, _moment: Writes(changes=[replace(failure, transitions=(*failure.transitions, second))]),
    )
    [history] = await store.history([HistorySpan(before.namespace, before.uid, 1, 9)])
    assert [*failure.transitions, second] == history


async def test_a_change_may_be_invisible(store: Store) -> None:
    before = await stored(store)
    after = await changed(store, before, lambda it: Change(it, replace(it, reported=4)))
    assert (4, before.revision) == (after.reported, after.revision)
    assert after == await read_one(store, before.key)


async def test_many_changes_are_one_commit(store: Store) -> None:
    operations = await stored_all(store, *(acceptance() for _ in range(100)))
    keys = [operation.key for operation in operations]
    writes = await store.transact(
        ByKey(keys), lambda rows, _moment: Writes(changes=[granted(row, worker=row.operation_id) for row in rows])
    )
    expected = {change.before.key: change.after for change in writes.changes}
    assert [expected[key] for key in keys] == await store.read(keys)


async def test_a_stale_change_is_an_error_and_nothing_is_written(store: Store) -> None:
    stale, other = await stored_all(store, acceptance(), acceptance())
    fresh = await changed(store, stale, granted)
    writes = Writes(changes=[moved(stale, state=State.CANCELLED), moved(other, state=State.CANCELLED)])
    with pytest.raises(StoreError):
        await store.transact(ByKey([stale.key, other.key]), lambda _rows, _moment: writes)
    assert [fresh, other] == await store.read([stale.key, other.key])


async def test_a_stale_removal_is_an_error_and_nothing_is_removed(store: Store) -> None:
    stale = await stored(store)
    fresh = await changed(store, stale, granted)
    with pytest.raises(StoreError):
        await store.transact(ByKey([stale.key]), lambda _rows, _moment: Writes(changes=[Change(stale, None)]))
    assert fresh == await read_one(store, stale.key)


async def test_an_error_in_a_decision_passes_through_and_the_store_works_on(store: Store) -> None:
    before = await stored(store)

    def decide(_rows: Sequence[Operation], _moment: Moment) -> Writes:
        raise ZeroDivisionError("as decided")

    with pytest.raises(ZeroDivisionError, match="as decided"):
        await store.transact(ByKey([before.key]), decide)
    await changed(store, before, granted)


async def test_transact_returns_what_was_decided(store: Store) -> None:
    writes = Writes(watermark=Watermark(1, 2))
    assert writes is await store.transact(ByKey([]), lambda _rows, _moment: writes)


async def test_a_lease_is_extended_while_the_operation_runs(store: Store) -> None:
    running = await changed(store, await stored(store), granted)
    lease_time = BEGIN + 99 * SECOND
    await store.transact(ByKey([running.key]), lambda _rows, _moment: Writes(leases={running.key: lease_time}))
    assert replace(running, lease_time=lease_time) == await read_one(store, running.key)


async def test_a_lease_of_what_does_not_run_changes_nothing(store: Store) -> None:
    waiting = await stored(store)
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(leases={waiting.key: BEGIN}))
    assert waiting == await read_one(store, waiting.key)


async def test_a_purge_leaves_the_tombstone_alone(store: Store) -> None:
    before = await stored(store, labels={"team": "blue"})
    tombstone = await changed(store, before, lambda it: purged(it, at=BEGIN))
    assert (BEGIN, {}) == (tombstone.purged_time, tombstone.labels)
    assert tombstone == await read_one(store, before.key)
    assert [None] == await store.requests([(before.namespace, before.uid)])
    assert [[]] == await store.history([HistorySpan(before.namespace, before.uid, 0, 9)])


async def test_a_purge_touches_no_other_operation(store: Store) -> None:
    before, other = await stored_all(store, acceptance(uid="same"), acceptance(uid="same", namespace="other"))
    await changed(store, before, lambda it: purged(it, at=BEGIN))
    assert [b"request"] == await store.requests([(other.namespace, other.uid)])
    [history] = await store.history([HistorySpan(other.namespace, other.uid, 0, 9)])
    assert 1 == len(history)


async def test_a_removal_leaves_nothing(store: Store) -> None:
    before = await stored(store)
    await store.transact(ByKey([before.key]), lambda rows, _moment: Writes(changes=[Change(rows[0], None)]))
    assert await read_one(store, before.key) is None
    assert [None] == await store.requests([(before.namespace, before.uid)])
    assert [[]] == await store.history([HistorySpan(before.namespace, before.uid, 0, 9)])


async def test_what_was_removed_may_come_again(store: Store) -> None:
    before = await stored(store, operation_id="same", request_id="same")
    await store.transact(ByKey([before.key]), lambda rows, _moment: Writes(changes=[Change(rows[0], None)]))
    [submission] = await store.submit([acceptance(operation_id="same", request_id="same")])
    assert submission.is_new


async def test_changes_purges_and_removals_go_together(store: Store) -> None:
    a, b, c = await stored_all(store, acceptance(), acceptance(), acceptance())
    changes = [moved(a, state=State.FAILED), purged(b, at=BEGIN), Change(c, None)]
    await store.transact(ByKey([a.key, b.key, c.key]), lambda _rows, _moment: Writes(changes=changes))
    assert [changes[0].after, changes[1].after, None] == await store.read([a.key, b.key, c.key])


async def test_the_watermark_is_in_the_next_moment(store: Store) -> None:
    watermark = Watermark(time=BEGIN, judge_from=BEGIN + 1)
    await store.transact(Reported([], []), lambda _rows, _moment: Writes(watermark=watermark))
    moments: list[Moment] = []
    await store.transact(ByKey([]), seeing([], moments))
    assert (watermark, watermark) == (moments[0].watermark, await store.watermark())


async def test_the_watermark_may_go_back(store: Store) -> None:
    for watermark in (Watermark(BEGIN, BEGIN), Watermark(BEGIN - 3600 * SECOND, BEGIN)):
        await store.transact(Reported([], []), partial(_marking, watermark))
        assert watermark == await store.watermark()


def _marking(watermark: Watermark, _rows: Sequence[Operation], _moment: Moment) -> Writes:
    return Writes(watermark=watermark)


async def test_the_longest_lease_cuts_longer_ones_and_nothing_else(store: Store) -> None:
    running = await stored_all(store, *(acceptance() for _ in range(3)))
    leases = dict(zip([each.key for each in running], (BEGIN - 1, BEGIN, BEGIN + 1), strict=True))
    running = await change(store, running, lambda it: granted(it, lease_time=leases[it.key]))
    ended = await stored(store, state=State.FAILED)
    workers = {name: worker(name, lease_time=BEGIN + index) for index, name in enumerate("ab")}
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(workers=workers))
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(longest_lease=BEGIN))
    expected = [*running[:2], replace(running[2], lease_time=BEGIN), ended]
    assert expected == await store.read([*leases, ended.key])
    assert [BEGIN, BEGIN] == [each.lease_time for each in await store.workers()]


async def test_lapsed_workers_are_forgotten(store: Store) -> None:
    workers = {name: worker(name, lease_time=BEGIN + index) for index, name in enumerate("abc")}
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(workers=workers))
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(workers_lapsed=BEGIN + 1))
    assert ["b", "c"] == [each.worker for each in await store.workers()]


def worker(name: str, *, lease_time: int) -> WorkerRecord:
    return WorkerRecord(
        worker=name,
        connection_id="connection",
        types=(),
        free_slots=1,
        total_slots=1,
        zombies=0,
        unreadable_messages=0,
        lease_time=lease_time,
    )


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.now()
    with pytest.raises(StoreUnavailable):
        await store.submit([acceptance()])
