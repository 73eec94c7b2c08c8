"""What callers notice when servers stop, are killed, and come back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from rejoinder.v1.operation_service_pb2 import WatchStatusRequest, WatchStatusResponse
from rejoinder_client import AsyncClient, AsyncHandle, Interruption, Update
from tests.support.deployment import Distributed, Embedded
from tests.support.processes import Server
from tests.support.raw_calls import SECONDS, raw_caller, refusal_of, sample
from tests.support.side_effects import Effects
from tests.support.waiting import eventually, eventually_sync

PATIENCE_SECONDS = 80


async def results(handles: list[AsyncHandle]) -> list[Any]:
    """Wait for the results of all."""
    return await asyncio.gather(*(handle.result(timeout=PATIENCE_SECONDS) for handle in handles))


async def collected(updates: AsyncIterator[Update]) -> list[Update]:
    """Return all updates that are left."""
    return [update async for update in updates]


def watched(server: Server) -> bool:
    """Whether anybody watches anything at this server."""
    return sample(server.metrics_address, "rejoinder_watchers") > 0


async def test_an_embedded_server_that_is_told_to_stop_loses_nothing(
    brisk_embedded: Embedded, effects: Effects
) -> None:
    brisk_embedded.mend()
    [server] = brisk_embedded.servers
    async with AsyncClient(brisk_embedded.first) as client:
        handles = [await client.submit("test.work", effects.request(seconds=0.1, index=index)) for index in range(60)]
        await eventually(effects.starts)
        assert 0 == await asyncio.to_thread(server.terminate)
        await asyncio.to_thread(server.start)
        assert [{"index": index} for index in range(60)] == await results(handles)
        errors = [attempt.error for handle in handles for attempt in (await handle.status()).attempts]
    assert {None} == set(errors)


async def test_a_server_that_is_told_to_stop_while_callers_go_on_loses_nothing(
    pair: Distributed, pair_client: AsyncClient, effects: Effects
) -> None:
    async def submit(index: int) -> AsyncHandle:
        return await pair_client.submit("test.work", effects.request(seconds=0.02, index=index))

    first = [await submit(index) for index in range(50)]
    waits = asyncio.create_task(results(first))
    stopping = asyncio.create_task(asyncio.to_thread(pair.servers[0].terminate))
    second = [await submit(index) for index in range(50, 150)]
    assert 0 == await stopping
    assert [{"index": index} for index in range(150)] == [*await waits, *await results(second)]
    assert {1} == set(Counter(effects.started()).values())


async def test_servers_that_are_killed_one_after_the_other_lose_nothing(
    pair: Distributed, pair_client: AsyncClient, effects: Effects
) -> None:
    first = [await pair_client.submit("test.work", effects.request(seconds=0.02, index=index)) for index in range(50)]
    waits = asyncio.create_task(results(first))
    for server in pair.servers:
        server.kill()
        await asyncio.to_thread(server.start)
    assert [{"index": index} for index in range(50)] == await waits
    assert {1} == set(Counter(effects.started()).values())


def test_a_server_that_is_told_to_stop_drains_its_watches(pair: Distributed, effects: Effects) -> None:
    with raw_caller(pair.first) as caller, raw_caller(pair.last) as other:
        operation = caller.submit("test.hold", effects.json())
        stream = caller.stub.WatchStatus(WatchStatusRequest(operation_id=operation.operation_id), timeout=SECONDS)
        messages: list[WatchStatusResponse] = [next(stream)]
        eventually_sync(effects.starts)
        pair.servers[0].terminate()
        # What came before the end is kept, since `extend` takes one message after the other.
        refusal = refusal_of(lambda: messages.extend(stream))
        assert messages[-1].HasField("drain")
        assert ("UNAVAILABLE", "DRAINING") == (refusal.code, refusal.reason)
        assert refusal.retry_seconds is not None
        effects.open()
        request = WatchStatusRequest(operation_id=operation.operation_id, cursor=messages[-1].cursor)
        rest = [
            message for message in other.stub.WatchStatus(request, timeout=SECONDS) if message.HasField("transition")
        ]
    seen = [message.transition.sequence for message in [*messages, *rest] if message.HasField("transition")]
    assert list(range(seen[0], 4)) == seen


async def test_the_sdk_goes_on_at_the_other_server(
    pair: Distributed, pair_client: AsyncClient, effects: Effects
) -> None:
    interruptions: list[Interruption] = []
    handle = await pair_client.submit("test.hold", effects.request())
    updates = handle.watch(on_interruption=interruptions.append, from_start=True, timeout=PATIENCE_SECONDS)
    seen = [await anext(updates), await anext(updates)]
    await eventually(lambda: any(map(watched, pair.servers)))
    [server] = filter(watched, pair.servers)
    stopping = asyncio.create_task(asyncio.to_thread(server.terminate))
    rest = asyncio.create_task(collected(updates))
    await eventually(lambda: interruptions)
    effects.open()
    seen += await rest
    assert 0 == await stopping
    assert "DRAINING" == interruptions[0].cause.reason
    assert ["SUBMITTED", "GRANTED", "SUCCEEDED"] == [update.transition.reason for update in seen if update.transition]
