"""How callers share a store call."""

import asyncio
from collections.abc import Sequence

import pytest

from rejoinder_server.batcher import Batcher
from rejoinder_server.store.port import DataRefused, StoreUnavailable
from tests.support.waiting import eventually


class Calls:
    """A call that waits until the test lets it go on, and notes its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if 13 in items:
            raise DataRefused("13")
        if 99 in items:
            raise StoreUnavailable("99")
        return [item * 10 for item in items]


async def test_items_that_come_during_a_call_share_the_next_one() -> None:
    calls = Calls()
    batcher = Batcher(calls, most=10)
    first = asyncio.create_task(batcher(1))
    await eventually(lambda: calls.batches)
    others = [asyncio.create_task(batcher(item)) for item in (2, 3)]
    asyncio.get_running_loop().call_soon(calls.gate.set)
    assert [10, 20, 30] == await asyncio.gather(first, *others)
    assert [[1], [2, 3]] == calls.batches


async def test_a_batch_is_bounded() -> None:
    calls = Calls()
    calls.gate.set()
    batcher = Batcher(calls, most=2)
    assert [10, 20, 30] == list(await asyncio.gather(batcher(1), batcher(2), batcher(3)))
    assert 2 == max(len(batch) for batch in calls.batches)


async def test_one_bad_item_does_not_fail_its_neighbours() -> None:
    calls = Calls()
    calls.gate.set()
    batcher = Batcher(calls, most=10)
    answers = await asyncio.gather(batcher(1), batcher(13), batcher(3), return_exceptions=True)
    assert [10, 30] == [answers[0], answers[2]]
    assert isinstance(answers[1], DataRefused)


async def test_an_unavailable_store_fails_the_whole_batch_and_not_the_next() -> None:
    calls = Calls()
    calls.gate.set()
    batcher = Batcher(calls, most=10)
    with pytest.raises(StoreUnavailable):
        await asyncio.gather(batcher(99), batcher(1))
    assert 20 == await batcher(2)


async def test_a_caller_that_is_cancelled_leaves_its_neighbours_answered() -> None:
    calls = Calls()
    batcher = Batcher(calls, most=10)
    gone, stays = asyncio.create_task(batcher(1)), asyncio.create_task(batcher(2))
    await eventually(lambda: calls.batches)
    gone.cancel()
    calls.gate.set()
    assert 20 == await stays
    await batcher.close()
