from rejoinder_server.operation import SECOND, Instant, Key, RetryPolicy, State, Timeouts, TypeRecord, WorkerRecord
from rejoinder_server.store.port import ByKey, HistorySpan, Store, Waiting, Writes
from tests.support.operations import BEGIN, acceptance, granted, moved, purged
from tests.support.storing import changed, read_one, stored, stored_all

HOUR = 3600 * SECOND


def record(name: str, queue: str, *, last_seen_time: Instant = BEGIN) -> TypeRecord:
    return TypeRecord(name=name, queue=queue, last_seen_time=last_seen_time)


async def announce(store: Store, *records: TypeRecord) -> None:
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(types={each.name: each for each in records}))


async def test_reading_keeps_the_order_of_the_keys(store: Store) -> None:
    first, second = await stored_all(store, acceptance(), acceptance())
    keys = [second.key, Key("default", "unknown"), first.key, second.key]
    assert [second, None, first, second] == await store.read(keys)


async def test_reading_nothing_gives_nothing(store: Store) -> None:
    assert ([], [], []) == (await store.read([]), await store.requests([]), await store.history([]))


async def test_requests_keep_the_order_of_the_uids(store: Store) -> None:
    first, second = await stored_all(store, acceptance(request=b"1"), acceptance(request=b""))
    uids = [(each.namespace, each.uid) for each in (second, first)]
    assert [b"", None, b"1"] == await store.requests([uids[0], ("other", first.uid), uids[1]])


async def test_history_has_what_is_after_and_up_to_the_bounds(store: Store) -> None:
    operation = await stored(store)
    for _ in range(4):
        operation = await changed(store, operation, moved)
    spans = [
        HistorySpan("default", operation.uid, after, through)
        for after, through in ((0, 2), (2, 4), (4, 99), (5, 5), (3, 1))
    ]
    parts = await store.history([*spans, HistorySpan("other", operation.uid, 0, 9)])
    assert [[1, 2], [3, 4], [5], [], [], []] == [[each.sequence for each in part] for part in parts]


async def test_types_come_by_name_as_announced_last(store: Store) -> None:
    await announce(store, record("b.b", "one"), record("a.a", "one"))
    await announce(store, record("b.b", "two"))
    assert [record("a.a", "one"), record("b.b", "two")] == await store.types()


async def test_an_announcement_replaces_every_field(store: Store) -> None:
    full = TypeRecord(
        name="a.a",
        queue="one",
        description="text",
        timeouts=Timeouts(attempt=1),
        retry_policy=RetryPolicy(max_attempts=1),
        last_seen_time=BEGIN,
    )
    await announce(store, full)
    await announce(store, record("a.a", "one"))
    assert [record("a.a", "one")] == await store.types()


async def test_types_are_seen(store: Store) -> None:
    await announce(store, record("a.a", "one"), record("b.b", "one"))
    seen = {"b.b": BEGIN + 5, "unknown.type": BEGIN}
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(types_seen=seen))
    assert [record("a.a", "one"), record("b.b", "one", last_seen_time=BEGIN + 5)] == await store.types()


async def test_an_announcement_moves_nothing(store: Store) -> None:
    waiting = await stored(store, type="a.a", queue="old")
    await announce(store, record("a.a", "new"))
    assert waiting == await read_one(store, waiting.key)


async def test_workers_come_and_go(store: Store) -> None:
    def worker(name: str, *, free_slots: int = 1) -> WorkerRecord:
        return WorkerRecord(
            worker=name,
            connection_id="c",
            types=("a.a",),
            free_slots=free_slots,
            total_slots=2,
            zombies=0,
            unreadable_messages=0,
            lease_time=BEGIN,
        )

    first, second = worker("one"), worker("two")
    await store.transact(ByKey([]), lambda _rows, _moment: Writes(workers={"two": second, "one": first}))
    assert [first, second] == await store.workers()
    busy = worker("two", free_slots=0)
    await store.transact(
        ByKey([]), lambda _rows, _moment: Writes(workers={"two": busy}, workers_gone={"one", "unknown"})
    )
    assert [busy] == await store.workers()


async def test_waiting_counts_by_namespace_type_and_queue(store: Store) -> None:
    now = await store.now()
    await stored(store, type="a.a", due_time=now - 5)
    await stored(store, type="a.a", due_time=now - 7)
    await stored(store, type="a.a", due_time=now + HOUR)
    await stored(store, type="b.b", queue="other", due_time=now + HOUR)
    await stored(store, type="a.a", namespace="other", due_time=now - 1)
    await changed(store, await stored(store, type="a.a", due_time=now - 9), granted)
    assert [
        Waiting("default", "a.a", "reports", 3, now - 7),
        Waiting("default", "b.b", "other", 1, None),
        Waiting("other", "a.a", "reports", 1, now - 1),
    ] == await store.waiting()


async def test_due_kinds_have_what_becomes_due_after_and_up_to_the_bounds(store: Store) -> None:
    for type_, due_time in (("a.a", 10), ("b.b", 11), ("b.b", 12), ("c.c", 20), ("d.d", 21)):
        await stored(store, type=type_, due_time=due_time)
    await stored(store, type="e.e", due_time=15, state=State.CANCELLED)
    assert [("reports", "b.b"), ("reports", "c.c")] == await store.due_kinds(10, 20)


async def test_the_next_due_time_is_the_earliest_after_an_instant(store: Store) -> None:
    for due_time in (10, 20, 30):
        await stored(store, due_time=due_time)
    await stored(store, due_time=15, state=State.CANCELLED)
    assert [10, 20, None] == [await store.next_due_time(after) for after in (9, 10, 30)]


async def test_counts_leave_tombstones_out(store: Store) -> None:
    await stored(store)
    await stored(store, namespace="other")
    await stored(store, state=State.FAILED)
    await changed(store, await stored(store, state=State.FAILED), lambda it: purged(it, at=BEGIN))
    assert {State.ACCEPTED: 2, State.FAILED: 1} == await store.counts()


async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert ([], [], [], {}) == (
        await store.types(),
        await store.workers(),
        await store.waiting(),
        await store.counts(),
    )
