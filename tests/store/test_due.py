import asyncio
import threading
from collections.abc import Sequence

from rejoinder_server.operation import SECOND, Key, Operation, State
from rejoinder_server.store.port import Due, Moment, Store, Writes
from tests.support.operations import acceptance, granted, moved
from tests.support.storing import changed, due_ids, selected, stored, stored_all

HOUR = 3600 * SECOND


async def test_higher_priority_runs_first(store: Store) -> None:
    now = await store.now()
    for priority in (0, -100, 100, 5):
        await stored(store, operation_id=f"p{priority}", priority=priority, due_time=now - priority)
    assert ["p100", "p5", "p0", "p-100"] == await due_ids(store)


async def test_within_a_priority_the_earlier_due_time_runs_first(store: Store) -> None:
    now = await store.now()
    for age in (2, 3, 1):
        await stored(store, operation_id=f"age-{age}", due_time=now - age * SECOND)
    assert ["age-3", "age-2", "age-1"] == await due_ids(store)


async def test_within_a_due_time_namespace_and_then_id_decide(store: Store) -> None:
    due_time = await store.now() - SECOND
    for namespace, operation_id in (("b", "1"), ("a", "2"), ("a", "1"), ("B", "3"), ("a", "~")):
        await stored(store, namespace=namespace, operation_id=operation_id, due_time=due_time)
    due = await selected(store, Due("reports", ["reports.generate"], 10))
    assert [
        ("B", "3"),
        ("a", "1"),
        ("a", "2"),
        ("a", "~"),
        ("b", "1"),
    ] == [(each.namespace, each.operation_id) for each in due]


async def test_several_types_merge_into_one_order(store: Store) -> None:
    now = await store.now()
    for index, (type_, priority) in enumerate([("a.b", 1), ("a.c", 2), ("a.b", 0), ("a.c", 1), ("a.b", 3)]):
        await stored(store, operation_id=str(index), type=type_, priority=priority, due_time=now - index)
    assert ["4", "1", "3", "0", "2"] == await due_ids(store, "a.b", "a.c")


async def test_the_limit_takes_the_best_of_all_types(store: Store) -> None:
    now = await store.now()
    for index, type_ in enumerate(["a.b", "a.c"] * 5):
        await stored(store, operation_id=str(index), type=type_, priority=index, due_time=now - 1)
    assert ["9", "8", "7"] == await due_ids(store, "a.b", "a.c", limit=3)


async def test_a_type_that_is_named_twice_counts_once(store: Store) -> None:
    await stored(store, operation_id="only", due_time=await store.now() - 1)
    assert ["only"] == await due_ids(store, "reports.generate", "reports.generate")


async def test_other_types_and_queues_are_not_due(store: Store) -> None:
    now = await store.now()
    await stored(store, type="a.other", due_time=now - 1)
    await stored(store, queue="other", due_time=now - 1)
    assert [] == await due_ids(store)


async def test_what_is_scheduled_is_not_due(store: Store) -> None:
    now = await store.now()
    await stored(store, due_time=now + HOUR)
    assert [] == await due_ids(store)


async def test_what_is_scheduled_at_a_high_priority_hides_nothing(store: Store) -> None:
    now = await store.now()
    await stored_all(store, *(acceptance(priority=9, due_time=now + HOUR) for _ in range(20)))
    await stored(store, operation_id="low", priority=-9, due_time=now - 1)
    assert ["low"] == await due_ids(store, limit=1)


async def test_what_runs_or_has_ended_is_not_due(store: Store) -> None:
    now = await store.now()
    running, ended = await stored_all(store, acceptance(due_time=now - 1), acceptance(due_time=now - 1))
    await changed(store, running, granted)
    await changed(store, ended, lambda it: moved(it, state=State.CANCELLED))
    assert [] == await due_ids(store)


async def test_a_decision_knows_the_time_of_the_store(store: Store) -> None:
    moments: list[Moment] = []

    def decide(_rows: Sequence[Operation], moment: Moment) -> Writes:
        moments.append(moment)
        return Writes()

    before = await store.now()
    await store.transact(Due("reports", ["reports.generate"], 1), decide)
    assert before <= moments[0].now <= await store.now()


async def test_two_claimers_never_get_the_same_operation(store: Store, twin: Store) -> None:
    now = await store.now()
    await stored_all(
        store, *(acceptance(operation_id=f"{index:03}", due_time=now - 1000 + index) for index in range(60))
    )
    claimed: list[list[str]] = []

    async def claim(of: Store) -> None:
        while True:
            writes = await of.transact(
                Due("reports", ["reports.generate"], 4),
                lambda rows, _moment: Writes(changes=[granted(it) for it in rows]),
            )
            if not writes.changes:
                return
            claimed.append([change.before.operation_id for change in writes.changes])

    await asyncio.gather(claim(store), claim(twin), claim(store), claim(twin))
    assert [f"{index:03}" for index in range(60)] == sorted(name for batch in claimed for name in batch)


async def test_claims_of_two_claimers_follow_one_order(store: Store, twin: Store) -> None:
    """Whoever commits first has the best operations: an attempt's time tells the order of the commits."""
    now = await store.now()
    await stored_all(
        store,
        *(acceptance(operation_id=f"{index:03}", priority=index % 7, due_time=now - index) for index in range(60)),
    )
    expected = await due_ids(store)
    claimed: list[str] = []
    lock = threading.Lock()

    def grant(rows: Sequence[Operation], _moment: Moment) -> Writes:
        # Only one claimer at a time decides, so the order of decisions is the order of commits.
        with lock:
            claimed.extend(row.operation_id for row in rows)
        return Writes(changes=[granted(row) for row in rows])

    selection = Due("reports", ["reports.generate"], 3)
    await asyncio.gather(*((store, twin)[index % 2].transact(selection, grant) for index in range(20)))
    assert expected == claimed


async def test_a_queue_of_any_name_can_be_claimed(store: Store) -> None:
    await stored(store, operation_id="only", queue="q'; DROP TABLE operations; --", due_time=await store.now() - 1)
    assert ["only"] == await due_ids(store, queue="q'; DROP TABLE operations; --")
    assert [None] == await store.read([Key("default", "other")])
