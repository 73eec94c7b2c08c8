"""What becomes of work whose worker dies, freezes or is told to stop."""

import asyncio
import os
import signal
from contextlib import aclosing
from datetime import timedelta

import pytest

from rejoinder_client import AsyncClient, AsyncHandle, OperationFailed, State, Transition, WaitingReason
from tests.support.deployment import Deployment, Distributed
from tests.support.side_effects import Effects, Start
from tests.support.waiting import eventually
from tests.system.conftest import BRISK_LEASE_SECONDS

PATIENCE_SECONDS = 60


async def begun(client: AsyncClient, effects: Effects) -> tuple[AsyncHandle, Start]:
    """Submit work that waits at a gate, and wait until its handler runs."""
    handle = await client.submit("test.hold", effects.request())
    await eventually(effects.starts, timeout=PATIENCE_SECONDS)
    [start] = effects.starts()
    return handle, start


async def begun_again(effects: Effects) -> Start:
    """Wait until the work runs a second time."""
    await eventually(lambda: len(effects.starts()) > 1, timeout=PATIENCE_SECONDS)
    _, start = effects.starts()
    return start


async def history(handle: AsyncHandle) -> list[Transition]:
    """Wait for an operation's end and return its transitions."""
    updates = [update async for update in handle.watch(from_start=True, timeout=PATIENCE_SECONDS)]
    return [update.transition for update in updates if update.transition]


async def until_judging(client: AsyncClient) -> None:
    """Wait until the deployment judges what runs, which it does from one lease after its start."""
    request = {"gate": "/never"}
    handle = await client.submit("test.hold", request, attempt_timeout=timedelta(milliseconds=1), max_attempts=1)
    with pytest.raises(OperationFailed):
        await handle.result(timeout=PATIENCE_SECONDS)


async def test_a_killed_process_is_reported_and_its_work_runs_again_before_its_lease_has_passed(
    brisk: Deployment, brisk_client: AsyncClient, effects: Effects
) -> None:
    await until_judging(brisk_client)
    handle, start = await begun(brisk_client, effects)
    os.kill(start.pid, signal.SIGKILL)
    again = await begun_again(effects)
    effects.open()
    transitions = await history(handle)
    assert ["SUBMITTED", "GRANTED", "WORKER_LOST", "GRANTED", "SUCCEEDED"] == [each.reason for each in transitions]
    granted, lost = transitions[1:3]
    assert granted.time is not None
    assert lost.time is not None
    assert lost.time < granted.time + timedelta(seconds=BRISK_LEASE_SECONDS)
    assert granted.worker == lost.worker
    assert (2, True) == (again.attempt, again.pid != start.pid)
    errors = [attempt.error and attempt.error.reason for attempt in (await handle.status()).attempts]
    assert ["WORKER_LOST", None] == errors


async def test_a_lost_worker_counts_as_no_failure(brisk: Deployment, effects: Effects) -> None:
    async with AsyncClient(brisk.first) as client:
        await until_judging(client)
        handle = await client.submit("test.hold", effects.request(), max_attempts=1)
        await eventually(effects.starts, timeout=PATIENCE_SECONDS)
        os.kill(effects.starts()[0].pid, signal.SIGKILL)
        await begun_again(effects)
        effects.open()
        assert "released" == await handle.result(timeout=PATIENCE_SECONDS)


async def test_a_worker_that_is_told_to_stop_lets_short_work_finish(
    pair: Distributed, pair_client: AsyncClient, effects: Effects
) -> None:
    handle, start = await begun(pair_client, effects)
    stopping = asyncio.create_task(asyncio.to_thread(pair.runner(start.pid).terminate))
    effects.open()
    assert 0 == await stopping
    reasons = [each.reason for each in await history(handle)]
    assert reasons in (
        ["SUBMITTED", "GRANTED", "SUCCEEDED"],
        # On a slow machine the gate opens after the worker's short grace.
        ["SUBMITTED", "GRANTED", "RELEASED", "GRANTED", "SUCCEEDED"],
    )


async def test_work_waits_for_a_worker_while_there_is_none(pair: Distributed, pair_client: AsyncClient) -> None:
    await asyncio.gather(*(asyncio.to_thread(worker.terminate) for worker in pair.workers))
    handle = await pair_client.submit("test.echo", "patience")
    beats = handle.watch(heartbeats=True, heartbeat_interval=timedelta(seconds=1), timeout=PATIENCE_SECONDS)
    async with aclosing(beats) as updates:
        async for update in updates:
            if update.operation is not None and update.operation.waiting_reason is WaitingReason.NO_WORKER:
                break
    assert State.ACCEPTED is (await handle.status()).state
    await asyncio.to_thread(pair.mend)
    assert "patience" == await handle.result(timeout=PATIENCE_SECONDS)
