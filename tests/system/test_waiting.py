"""Operations that wait, and what callers are told of it, in both deployments."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from rejoinder_client import AsyncClient, State, WaitingReason
from tests.support.deployment import Deployment
from tests.support.side_effects import Effects
from tests.support.waiting import eventually

HOUR = timedelta(hours=1)


async def test_delayed_work_waits_as_scheduled_and_runs_when_it_is_due(
    submitter: AsyncClient, watcher: AsyncClient
) -> None:
    """The timer that starts it is not one of the intervals, which are an hour long here."""
    handle = await submitter.submit("test.context", delay=timedelta(seconds=1))
    operation = await watcher.attach(handle.id).status()
    assert (State.ACCEPTED, WaitingReason.SCHEDULED) == (operation.state, operation.waiting_reason)
    assert 1 == (await watcher.attach(handle.id).result(timeout=20))["attempt"]
    ended = await handle.status()
    assert ended.start_time is not None
    assert ended.due_time is not None
    assert ended.due_time <= ended.start_time


async def test_a_due_time_in_the_past_means_now(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.echo", "late", due_time=datetime.now(tz=UTC) - HOUR)
    assert "late" == await handle.result(timeout=20)


async def test_work_for_which_no_slot_is_free_waits_as_queued(
    deployment: Deployment, submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    holders = [await submitter.submit("test.hold", effects.request()) for _ in range(deployment.slots)]
    await eventually(lambda: len(effects.starts()) == deployment.slots)
    handle = await submitter.submit("test.work", effects.request())
    operation = await watcher.attach(handle.id).status()
    assert (State.ACCEPTED, WaitingReason.QUEUED) == (operation.state, operation.waiting_reason)
    assert operation.waiting_detail
    effects.open()
    for each in (*holders, handle):
        await each.result(timeout=20)


async def test_work_that_is_tried_again_waits_in_backoff(submitter: AsyncClient, watcher: AsyncClient) -> None:
    handle = await submitter.submit("test.fail", initial_backoff=HOUR, max_backoff=HOUR)
    async with aclosing(watcher.attach(handle.id).watch(from_start=True, timeout=20)) as updates:
        async for update in updates:
            if update.transition is not None and update.transition.reason == "RETRY":
                break
    operation = await handle.status()
    assert (State.ACCEPTED, WaitingReason.BACKOFF) == (operation.state, operation.waiting_reason)
    assert operation.due_time is not None
    assert operation.due_time > datetime.now(tz=UTC) + timedelta(minutes=25)
    assert State.CANCELLED is (await handle.cancel()).state


async def test_work_runs_in_the_order_of_its_due_times_not_of_its_submits(
    submitter: AsyncClient, watcher: AsyncClient
) -> None:
    now = datetime.now(tz=UTC)
    second = await submitter.submit("test.echo", due_time=now + timedelta(seconds=1.2))
    first = await watcher.submit("test.echo", due_time=now + timedelta(seconds=0.6))
    await second.result(timeout=20)
    await first.result(timeout=20)
    ended = [await handle.status() for handle in (first, second)]
    assert ended == sorted(ended, key=lambda operation: operation.start_time or now)
