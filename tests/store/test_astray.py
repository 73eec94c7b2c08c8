"""What waits in another queue than its type's is found, a bounded number at a time."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from rejoinder_server.operation import Change, Operation
from rejoinder_server.store.port import Astray, ByKey, Store, Writes
from tests.support.operations import acceptance, granted
from tests.support.storing import changed, read_one, selected, stored, stored_all

MANY = 5_000
BATCH = 1_000


async def astray(store: Store, limit: int = 100, **queues: str) -> list[str]:
    found = await selected(store, Astray(_types(queues), limit))
    return sorted(operation.operation_id for operation in found)


async def move(store: Store, limit: int = 100, **queues: str) -> int:
    """Move one batch, and return how many operations it had."""
    types = _types(queues)

    def moved(operation: Operation) -> Change:
        return Change(operation, replace(operation, queue=types[operation.type]))

    writes = await store.transact(
        Astray(types, limit), lambda rows, _moment: Writes(changes=[moved(row) for row in rows])
    )
    return len(writes.changes)


def _types(queues: Mapping[str, str]) -> dict[str, str]:
    return {f"type.{name}": queue for name, queue in queues.items()}


async def test_what_waits_in_another_queue_is_astray_whichever_it_is(store: Store) -> None:
    for name, queue in (("a", "old"), ("b", "older"), ("c", "new"), ("d", "z")):
        await stored(store, operation_id=name, type="type.one", queue=queue, namespace=f"of-{name}")
    assert ["a", "b", "d"] == await astray(store, one="new")


async def test_types_that_are_not_named_are_where_they_belong(store: Store) -> None:
    await stored(store, type="type.other", queue="old")
    assert ([], []) == (await astray(store, one="new"), await astray(store))


async def test_what_runs_is_not_astray(store: Store) -> None:
    await changed(store, await stored(store, type="type.one", queue="old"), granted)
    assert [] == await astray(store, one="new")


async def test_each_type_has_its_own_queue(store: Store) -> None:
    one, two = await stored_all(
        store, acceptance(type="type.one", queue="left"), acceptance(type="type.two", queue="right")
    )
    await stored(store, type="type.one", queue="right")
    assert 2 == await move(store, one="right", two="left")
    found = [await read_one(store, one.key), await read_one(store, two.key)]
    assert [("right", 1), ("left", 1)] == [(each.queue, each.revision) for each in found if each]


async def test_the_limit_bounds_all_types_and_queues_together(store: Store) -> None:
    for name in ("one", "two"):
        for queue in ("old", "older"):
            await stored_all(store, *(acceptance(type=f"type.{name}", queue=queue) for _ in range(3)))
    assert [5, 12, 12] == [len(await astray(store, limit, one="new", two="new")) for limit in (5, 12, 20)]


async def test_thousands_move_in_bounded_batches(store: Store) -> None:
    for _ in range(0, MANY, BATCH):
        await stored_all(store, *(acceptance(type="type.one", queue="old") for _ in range(BATCH)))
    batches = [await move(store, BATCH, one="new") for _ in range(MANY // BATCH + 1)]
    assert [BATCH] * (MANY // BATCH) + [0] == batches
    assert [("new", MANY)] == [(waiting.queue, waiting.count) for waiting in await store.waiting()]


async def test_movers_at_once_share_the_work(store: Store, twin: Store) -> None:
    await stored_all(store, *(acceptance(type="type.one", queue="old") for _ in range(100)))

    async def drain(of: Store) -> int:
        count = 0
        while batch := await move(of, 10, one="new"):
            count += batch
        return count

    assert 100 == sum(await asyncio.gather(drain(store), drain(twin), drain(store)))
    assert [] == await astray(store, one="new")


async def test_odd_names_are_names(store: Store) -> None:
    odd = """q\"u'o\\te%"""
    waiting = await stored(store, type=odd, queue=odd)
    assert [] == await selected(store, Astray({odd: odd}, 9))
    assert [waiting] == await selected(store, Astray({odd: "new"}, 9))


async def test_nothing_is_written_where_nothing_is_astray(store: Store) -> None:
    there = await stored(store, type="type.one", queue="new")
    assert 0 == await move(store, one="new")
    assert [there] == await selected(store, ByKey([there.key]))
