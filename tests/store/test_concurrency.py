import asyncio
from collections.abc import Callable, Sequence

import pytest

from rejoinder_server.operation import Acceptance, Operation
from rejoinder_server.store.port import ByKey, Moment, Reported, Selection, Store, Writes
from tests.support.operations import acceptance, granted, moved
from tests.support.storing import change, changed, stored, stored_all


async def test_a_hundred_submits_of_one_request_id_store_one_operation(store: Store, twin: Store) -> None:
    batches = [[acceptance(request_id="same")] for _ in range(100)]
    answers = await asyncio.gather(*((store, twin)[index % 2].submit(batch) for index, batch in enumerate(batches)))
    submissions = [submission for [submission] in answers]
    assert 1 == sum(submission.is_new for submission in submissions)
    assert 1 == len({submission.operation.uid for submission in submissions})


@pytest.mark.parametrize(
    "make",
    [lambda name: acceptance(request_id=name), lambda name: acceptance(operation_id=name)],
    ids=["request ids", "operation ids"],
)
async def test_batches_that_share_keys_in_opposite_order_all_succeed(
    store: Store, twin: Store, make: Callable[[str], Acceptance]
) -> None:
    names = [f"same-{index}" for index in range(30)]
    batches = [[make(name) for name in names[:: -1 if index > 3 else 1]] for index in range(8)]
    answers = await asyncio.gather(*((store, twin)[index % 2].submit(batch) for index, batch in enumerate(batches)))
    assert 30 == sum(submission.is_new for answer in answers for submission in answer)


async def test_transactions_that_overlap_in_opposite_order_all_succeed(store: Store, twin: Store) -> None:
    operations = await stored_all(store, *(acceptance() for _ in range(20)))
    keys = [operation.key for operation in operations]

    def count(rows: Sequence[Operation], _moment: Moment) -> Writes:
        return Writes(changes=[moved(row, failures=row.failures + 1) for row in rows])

    await asyncio.gather(
        *((store, twin)[index % 2].transact(ByKey(keys[:: 1 if index % 3 else -1]), count) for index in range(30))
    )
    assert [30] * 20 == [operation.failures for operation in await store.read(keys) if operation]


async def test_reports_that_overlap_in_opposite_order_all_succeed(store: Store, twin: Store) -> None:
    waiting = await stored_all(store, *(acceptance() for _ in range(20)))
    keys = [operation.key for operation in waiting]
    await change(store, waiting, lambda it: granted(it, worker=f"worker-{keys.index(it.key) % 2}"))

    def count(rows: Sequence[Operation], _moment: Moment) -> Writes:
        return Writes(changes=[moved(row, reported=row.reported + 1) for row in rows])

    selections: list[Selection] = [Reported(keys[:10], ["worker-0"]), Reported(keys[10:], ["worker-1"]), ByKey(keys)]
    await asyncio.gather(*((store, twin)[index % 2].transact(selections[index % 3], count) for index in range(30)))
    assert [20, 30] == sorted({operation.reported for operation in await store.read(keys) if operation})


async def test_submits_and_changes_and_readings_go_on_together(store: Store, twin: Store) -> None:
    before = await stored(store)

    async def read() -> list[Operation | None]:
        return await twin.read([before.key])

    results = await asyncio.gather(
        *(store.submit([acceptance()]) for _ in range(30)),
        *(changed(twin, before, lambda it: moved(it, failures=it.failures + 1)) for _ in range(10)),
        *(read() for _ in range(60)),
    )
    assert 100 == len(results)
    [after] = await store.read([before.key])
    assert after is not None
    assert 10 == after.failures


async def test_a_cancelled_call_leaves_the_store_in_order(store: Store) -> None:
    before = await stored(store)

    async def change_and_wait() -> None:
        async with asyncio.timeout(0.0001):
            await changed(store, before, moved)
            await asyncio.Event().wait()

    for _ in range(20):
        with pytest.raises(TimeoutError):
            await change_and_wait()
    await changed(store, before, granted)
