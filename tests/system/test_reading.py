"""What callers read without a watch, in both deployments and across servers."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Unpack

import pytest

from rejoinder.v1.operation_pb2 import Operation
from rejoinder.v1.operation_service_pb2 import GetStatusRequest, GetStatusResponse
from rejoinder_client import AlreadyExists, AsyncClient, InvalidRequest, ListOptions, NotFound, State
from tests.support.deployment import Deployment
from tests.support.raw_calls import SECONDS, RawCaller
from tests.support.side_effects import Effects


@pytest.fixture
async def private(deployment: Deployment, namespace: str) -> AsyncIterator[AsyncClient]:
    """A caller in a namespace of the test's own."""
    async with AsyncClient(deployment.last, namespace=namespace) as client:
        yield client


def poll(caller: RawCaller, operation_id: str, *, cursor: str = "") -> GetStatusResponse:
    """Read an operation; with a cursor, wait for a change past it."""
    request = GetStatusRequest(operation_id=operation_id, wait_for=GetStatusRequest.WAIT_FOR_CHANGE, cursor=cursor)
    if cursor:
        request.wait_timeout.FromSeconds(SECONDS)
    answer: GetStatusResponse = caller.stub.GetStatus(request, timeout=2 * SECONDS)
    return answer


async def test_a_listing_is_newest_first_over_all_pages(private: AsyncClient) -> None:
    submitted = [(await private.submit("test.echo", index)).id for index in range(7)]
    assert submitted[::-1] == [found.operation_id async for found in private.list(page_size=2)]


async def test_a_listing_shows_what_matches_all_filters(private: AsyncClient) -> None:
    hour = timedelta(hours=1)
    echo = await private.submit("test.echo", labels={"tenant": "acme", "region": "eu"}, correlation_id="order 7")
    failed = await private.submit("test.fail_for_good", labels={"tenant": "acme"})
    waiting = await private.submit("test.echo", labels={"tenant": "other"}, delay=hour)
    await echo.result(timeout=20)
    await failed.status(wait_timeout=timedelta(seconds=20))
    now = datetime.now(tz=UTC)

    async def ids(**filters: Unpack[ListOptions]) -> list[str]:
        return [found.operation_id async for found in private.list(**filters)]

    assert [waiting.id] == await ids(states=["ACCEPTED"])
    assert [failed.id, echo.id] == await ids(states=["SUCCEEDED", "FAILED"])
    assert [failed.id] == await ids(types=["test.fail_for_good", "test.unheard"])
    assert [waiting.id, failed.id, echo.id] == await ids(queues=["test"])
    assert [] == await ids(queues=["other"])
    assert [echo.id] == await ids(correlation_id="order 7")
    assert [failed.id, echo.id] == await ids(labels={"tenant": "acme"})
    assert [echo.id] == await ids(labels={"tenant": "acme", "region": "eu"})
    assert [failed.id] == await ids(error_reason="PERMANENT_ERROR")
    assert [] == await ids(create_time_from=now + hour)
    assert [waiting.id, failed.id, echo.id] == await ids(create_time_from=now - hour, create_time_before=now + hour)
    assert [failed.id] == await ids(labels={"tenant": "acme"}, states=["FAILED"])
    await waiting.cancel()


async def test_a_listing_shows_payloads_and_attempts_only_when_asked_to(private: AsyncClient) -> None:
    handle = await private.submit("test.echo", "request")
    await handle.result(timeout=20)
    [brief] = [found async for found in private.list()]
    [full] = [found async for found in private.list(full=True)]
    assert (None, None, ()) == (brief.request, brief.result, brief.attempts)
    assert full.request is not None
    assert full.result is not None
    assert ("request", "request", 1) == (full.request.decode(), full.result.decode(), len(full.attempts))


async def test_a_deleted_operation_is_gone_and_its_names_stay_taken(private: AsyncClient) -> None:
    handle = await private.submit("test.echo", operation_id="one", request_id="one")
    await handle.result(timeout=20)
    await private.delete("one")
    with pytest.raises(NotFound) as raised:
        await handle.status()
    assert "PURGED" == raised.value.reason
    with pytest.raises(NotFound) as raised:
        await private.delete("one")
    assert "PURGED" == raised.value.reason
    for names in ({"operation_id": "one"}, {"request_id": "one"}):
        with pytest.raises(AlreadyExists) as taken:
            await private.submit("test.echo", **names)  # type: ignore[arg-type] # one of the options
        assert "PURGED" == taken.value.reason
    assert [] == [found async for found in private.list()]


async def test_an_unfinished_operation_is_not_deleted(private: AsyncClient) -> None:
    handle = await private.submit("test.echo", delay=timedelta(hours=1))
    with pytest.raises(InvalidRequest) as raised:
        await private.delete(handle.id)
    assert "UNFINISHED" == raised.value.reason
    await handle.cancel()
    await private.delete(handle.id)


async def test_the_types_tell_who_serves_them_and_what_waits(deployment: Deployment, private: AsyncClient) -> None:
    waiting = [await private.submit("test.echo", delay=timedelta(hours=1)) for _ in range(3)]
    [echo] = [found for found in await private.types() if found.name == "test.echo"]
    assert ("test", "Answers its request.", 3) == (echo.queue, echo.description, echo.waiting_count)
    assert (deployment.slots, max(1, len(deployment.workers))) == (echo.total_slots, echo.live_workers)
    assert 0 <= echo.free_slots <= echo.total_slots
    [flaky] = [found for found in await private.types() if found.name == "test.flaky"]
    assert 5 == flaky.retry_policy.max_attempts
    for handle in waiting:
        await handle.cancel()


async def test_the_limits_in_force_can_be_read(private: AsyncClient) -> None:
    limits = await private.limits()
    assert (1024 * 1024, 16, timedelta(seconds=60)) == (
        limits.max_payload_bytes,
        limits.max_labels,
        limits.max_wait_timeout,
    )


async def test_a_long_poll_on_another_server_is_answered_at_the_end(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.hold", effects.request())
    early = await watcher.attach(handle.id).status(wait_timeout=timedelta(milliseconds=200))
    assert not early.state.is_terminal
    effects.open()
    operation = await watcher.attach(handle.id).status(wait_timeout=timedelta(seconds=20))
    assert State.SUCCEEDED is operation.state


def test_a_long_poll_for_a_change_is_answered_at_the_next_change_past_its_cursor(
    raw_first: RawCaller, raw_last: RawCaller, effects: Effects
) -> None:
    operation = raw_first.submit("test.hold", effects.json())
    running = poll(raw_last, operation.operation_id)
    while running.operation.state == Operation.STATE_ACCEPTED:
        running = poll(raw_last, operation.operation_id, cursor=running.cursor)
    assert (Operation.STATE_RUNNING, 2) == (running.operation.state, running.operation.revision)
    assert running.HasField("poll_after")
    effects.open()
    ended = poll(raw_last, operation.operation_id, cursor=running.cursor)
    assert (Operation.STATE_SUCCEEDED, 3) == (ended.operation.state, ended.operation.revision)
    assert (False, False) == (ended.timed_out, ended.HasField("poll_after"))


def test_a_long_poll_that_nothing_ends_says_so(raw_first: RawCaller) -> None:
    operation = raw_first.submit("test.echo", delay={"seconds": 3600})
    request = GetStatusRequest(operation_id=operation.operation_id, wait_timeout={"nanos": 200_000_000})
    answer = raw_first.stub.GetStatus(request, timeout=SECONDS)
    assert (True, operation.revision) == (answer.timed_out, answer.operation.revision)
