"""What becomes of a wish to cancel, in both deployments and across servers."""

from datetime import timedelta

import pytest

from rejoinder_client import AsyncClient, AsyncHandle, OperationCancelled, State
from tests.support.side_effects import Effects
from tests.support.waiting import eventually


async def begun(client: AsyncClient, type: str, effects: Effects) -> AsyncHandle:
    """Submit work, and wait until its handler runs."""
    handle = await client.submit(type, effects.request())
    await eventually(lambda: handle.id in effects.started())
    return handle


async def test_waiting_work_is_cancelled_at_once_and_never_runs(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.work", effects.request(), delay=timedelta(milliseconds=500))
    operation = await watcher.attach(handle.id).cancel("not needed")
    assert (State.CANCELLED, "not needed") == (operation.state, operation.cancel_reason)
    with pytest.raises(OperationCancelled, match="not needed"):
        await handle.result(timeout=20)
    later = await submitter.submit("test.work", effects.request(), delay=timedelta(milliseconds=700))
    await later.result(timeout=20)
    assert [later.id] == effects.started()


@pytest.mark.parametrize("type", ["test.hold", "test.hold_async"])
async def test_running_work_is_told_to_stop(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects, type: str
) -> None:
    handle = await begun(submitter, type, effects)
    operation = await watcher.attach(handle.id).cancel("too late")
    assert State.RUNNING is operation.state
    assert operation.cancel_request_time is not None
    with pytest.raises(OperationCancelled, match="too late"):
        await handle.result(timeout=20)
    assert "CANCELLED" == (await handle.status()).error.reason  # type: ignore[union-attr] # it has one


async def test_the_wish_is_a_transition_that_watchers_see(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await begun(submitter, "test.hold", effects)
    await handle.cancel()
    updates = [update async for update in watcher.attach(handle.id).watch(from_start=True, timeout=20)]
    assert ["SUBMITTED", "GRANTED", "CANCEL_REQUESTED", "CANCELLED"] == [
        update.transition.reason for update in updates if update.transition
    ]


async def test_work_that_does_not_stop_may_still_succeed(submitter: AsyncClient, effects: Effects) -> None:
    handle = await begun(submitter, "test.stubborn", effects)
    await handle.cancel()
    effects.open()
    assert "released" == await handle.result(timeout=20)
    operation = await handle.status()
    assert State.SUCCEEDED is operation.state
    assert operation.cancel_request_time is not None


async def test_the_first_wish_is_kept(submitter: AsyncClient, watcher: AsyncClient, effects: Effects) -> None:
    handle = await begun(submitter, "test.stubborn", effects)
    first = await handle.cancel("first")
    second = await watcher.attach(handle.id).cancel("second")
    assert (first.revision, first.cancel_request_time) == (second.revision, second.cancel_request_time)
    assert "first" == second.cancel_reason
    effects.open()
    await handle.result(timeout=20)


async def test_an_operation_that_has_ended_is_answered_unchanged(submitter: AsyncClient, watcher: AsyncClient) -> None:
    handle = await submitter.submit("test.echo", 1)
    await handle.result(timeout=20)
    before = await handle.status()
    assert before == await watcher.attach(handle.id).cancel("too late")
    assert before == await handle.status()


async def test_work_that_ignores_its_cancel_is_given_up_after_the_grace(
    brisk_client: AsyncClient, effects: Effects
) -> None:
    handle = await begun(brisk_client, "test.stubborn", effects)
    await handle.cancel()
    with pytest.raises(OperationCancelled):
        await handle.result(timeout=40)
    before = await handle.status()
    # The handler's answer comes too late, and the one slot that it holds is free again.
    effects.open()
    await (await brisk_client.submit("test.echo")).result(timeout=20)
    assert before == await handle.status()
