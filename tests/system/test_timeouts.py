"""What ends when its time has passed, in both deployments."""

from datetime import timedelta

import pytest

from rejoinder_client import AsyncClient, Client, NotFound, OperationFailed, OperationTimedOut, State
from tests.support.deployment import Deployment
from tests.support.side_effects import Effects
from tests.support.waiting import eventually, eventually_sync

SOON = timedelta(milliseconds=500)


async def test_work_that_no_worker_takes_within_its_queue_timeout_is_timed_out_and_never_runs(
    brisk: Deployment, brisk_client: AsyncClient, effects: Effects
) -> None:
    holders = [await brisk_client.submit("test.hold", effects.request()) for _ in range(brisk.slots)]
    await eventually(lambda: len(effects.starts()) == brisk.slots)
    handle = await brisk_client.submit("test.work", effects.request(), queue_timeout=SOON)
    with pytest.raises(OperationTimedOut) as raised:
        await handle.result(timeout=20)
    assert "QUEUE_TIMEOUT" == raised.value.reason
    effects.open()
    for holder in holders:
        await holder.result(timeout=20)
    assert handle.id not in effects.started()


async def test_the_queue_timeout_begins_when_work_is_due(brisk_client: AsyncClient) -> None:
    handle = await brisk_client.submit("test.echo", "in time", delay=timedelta(seconds=1), queue_timeout=SOON * 20)
    assert "in time" == await handle.result(timeout=20)


async def test_work_that_waits_beyond_its_total_timeout_is_timed_out(brisk_client: AsyncClient) -> None:
    handle = await brisk_client.submit("test.echo", delay=timedelta(hours=1), total_timeout=SOON)
    with pytest.raises(OperationTimedOut) as raised:
        await handle.result(timeout=20)
    assert "TOTAL_TIMEOUT" == raised.value.reason


async def test_work_that_runs_beyond_its_total_timeout_is_timed_out_and_told_to_stop(
    brisk: Deployment, brisk_client: AsyncClient, effects: Effects
) -> None:
    handles = [
        await brisk_client.submit("test.hold", effects.request(), total_timeout=SOON * 2) for _ in range(brisk.slots)
    ]
    for handle in handles:
        with pytest.raises(OperationTimedOut) as raised:
            await handle.result(timeout=40)
        assert "TOTAL_TIMEOUT" == raised.value.reason
    # Every slot was taken: this one runs because they stopped.
    await (await brisk_client.submit("test.echo")).result(timeout=20)


async def test_an_attempt_that_times_out_counts_and_is_tried_again(brisk_client: AsyncClient, effects: Effects) -> None:
    handle = await brisk_client.submit(
        "test.hold", effects.request(), attempt_timeout=SOON, max_attempts=2, initial_backoff=timedelta(milliseconds=1)
    )
    with pytest.raises(OperationFailed) as raised:
        await handle.result(timeout=60)
    assert "ATTEMPT_TIMEOUT" == raised.value.reason
    operation = await handle.status()
    assert State.FAILED is operation.state
    assert ["ATTEMPT_TIMEOUT"] * 2 == [attempt.error.reason for attempt in operation.attempts if attempt.error]
    assert [1, 2] == [start.attempt for start in effects.starts()]


def test_an_operation_is_purged_after_its_retention(brisk: Deployment) -> None:
    with Client(brisk.first) as client:
        handle = client.submit("test.echo", retention=timedelta(seconds=1))
        assert handle.result(timeout=20) is None
        eventually_sync(lambda: handle.id not in [found.operation_id for found in client.list()], timeout=20)
        with pytest.raises(NotFound) as raised:
            handle.status()
    assert "PURGED" == raised.value.reason
