"""What a process that is killed in the middle of its work costs: time, and nothing else."""

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

from rejoinder_client import AsyncClient, AsyncHandle, State
from tests.support.deployment import Distributed, Embedded
from tests.support.side_effects import Effects
from tests.support.waiting import eventually

from .conftest import BRISK

OPERATIONS = 200
SECONDS = 60


async def count_by_state(client: AsyncClient) -> Counter[State]:
    """Count all operations by state."""
    return Counter([operation.state async for operation in client.list(page_size=1000)])


async def lost_attempts(handle: AsyncHandle) -> int:
    """Count the attempts that were given up because their worker was lost."""
    operation = await handle.status()
    return sum(attempt.error is not None and attempt.error.reason == "WORKER_LOST" for attempt in operation.attempts)


async def test_every_operation_survives_a_kill_of_the_embedded_server_and_its_worker(
    tmp_path: Path, effects: Effects
) -> None:
    with Embedded(tmp_path, *BRISK, threads=16) as deployment:
        [server] = deployment.servers
        async with AsyncClient(server.address) as client:
            handles = await asyncio.gather(
                *(
                    client.submit("test.work", effects.request(seconds=0.5), operation_id=f"operation-{index}")
                    for index in range(OPERATIONS)
                )
            )
            await eventually(lambda: len(effects.started()) >= 20)
            before = await count_by_state(client)
            server.kill()
            assert before[State.RUNNING] >= 4
            assert before[State.ACCEPTED] >= 100
            server.start()
            await asyncio.gather(*(handle.result(timeout=SECONDS) for handle in handles))
            assert {State.SUCCEEDED: OPERATIONS} == await count_by_state(client)
            assert sum(await asyncio.gather(*map(lost_attempts, handles))) >= 1


async def test_nothing_of_the_embedded_worker_outlives_a_killed_server(tmp_path: Path, effects: Effects) -> None:
    with Embedded(tmp_path, *BRISK) as deployment:
        [server] = deployment.servers
        async with AsyncClient(server.address) as client:
            await client.submit("test.hold", effects.request())
            [start] = await eventually(effects.starts)
            os.kill(server.pid, signal.SIGKILL)
            server.wait()
            await eventually(lambda: not Path(f"/proc/{start.pid}").exists(), timeout=20)


async def test_work_of_a_killed_worker_is_done_by_another(pair: Distributed, effects: Effects) -> None:
    async with AsyncClient(pair.first) as client:
        handles = [await client.submit("test.hold", effects.request()) for _ in range(pair.slots)]
        await eventually(lambda: len(effects.started()) == pair.slots)
        pair.workers[0].kill()  # its supervisor too, so that nobody reports the death
        effects.open()
        await asyncio.gather(*(handle.result(timeout=SECONDS) for handle in handles))
        lost = await asyncio.gather(*map(lost_attempts, handles))
        assert pair.slots // 2 == sum(lost)


async def test_a_frozen_worker_that_comes_back_changes_nothing_and_is_told_to_stop(
    pair: Distributed, effects: Effects
) -> None:
    async with AsyncClient(pair.first) as client:
        pair.workers[1].kill()
        handle = await client.submit("test.hold", effects.request())
        [frozen] = await eventually(effects.starts)
        os.kill(frozen.pid, signal.SIGSTOP)
        pair.workers[1].start()
        await eventually(lambda: len(effects.starts()) == 2, timeout=SECONDS)
        os.kill(frozen.pid, signal.SIGCONT)
        await eventually(lambda: effects.stops() == [frozen], timeout=SECONDS)
        effects.open()
        assert "released" == await handle.result(timeout=SECONDS)
        assert 2 == (await handle.status()).attempt


async def test_a_worker_that_is_asked_to_stop_releases_what_it_cannot_finish(
    pair: Distributed, effects: Effects
) -> None:
    async with AsyncClient(pair.first) as client:
        handles = [await client.submit("test.hold", effects.request()) for _ in range(pair.slots)]
        await eventually(lambda: len(effects.started()) == pair.slots)
        await asyncio.to_thread(pair.workers[0].terminate)
        effects.open()
        await asyncio.gather(*(handle.result(timeout=SECONDS) for handle in handles))
        reasons = Counter(
            [
                update.transition.reason
                for handle in handles
                async for update in handle.watch(from_start=True)
                if update.transition is not None
            ]
        )
        assert (pair.slots // 2, 0) == (reasons["RELEASED"], reasons["WORKER_LOST"])
