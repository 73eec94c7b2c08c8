"""What comes of an operation, as its caller sees it, in both deployments."""

import asyncio
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from rejoinder_client import AsyncClient, OperationFailed, Payload, State
from tests.support.deployment import Deployment
from tests.support.side_effects import Effects

WAKE_SECONDS = 2
"""How soon a committed change must reach a watcher on another server, with all polling an hour away."""


async def test_a_result_reaches_a_watcher_on_another_server_by_a_wake_up(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.hold", effects.request())
    updates = watcher.attach(handle.id).watch()
    while (await anext(updates)).operation.state is not State.RUNNING:  # type: ignore[union-attr] # it has one
        pass
    effects.open()
    async with asyncio.timeout(WAKE_SECONDS):
        last = [update async for update in updates][-1]
    assert last.operation is not None
    assert (State.SUCCEEDED, "released") == (last.operation.state, last.operation.result.decode())  # type: ignore[union-attr] # it has one


async def test_the_begin_of_work_reaches_a_watcher_on_another_server_by_a_wake_up(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.hold", effects.request())
    async with asyncio.timeout(WAKE_SECONDS):
        async for update in watcher.attach(handle.id).watch():
            if update.operation is not None and update.operation.state is State.RUNNING:
                break
    effects.open()
    assert "released" == await handle.result(timeout=20)


async def test_integers_of_64_bits_survive_in_json(submitter: AsyncClient) -> None:
    request = {"large": 2**63 - 1, "small": -(2**63), "text": "žluťoučký 🐎"}
    handle = await submitter.submit("test.echo", request)
    assert request == await handle.result(timeout=20)


async def test_a_request_in_json_is_kept_verbatim(submitter: AsyncClient) -> None:
    text = '{"b": 1.50,  "a": [1e2, 9007199254740993]}'
    handle = await submitter.submit("test.hold", Payload(json=text), delay=timedelta(hours=1))
    assert text == (await handle.status(full=True)).request.json  # type: ignore[union-attr] # it has one
    await handle.cancel()


async def test_bytes_travel_as_they_are(submitter: AsyncClient) -> None:
    content = bytes(range(256)) * 100
    handle = await submitter.submit("test.reverse", content)
    assert content[::-1] == await handle.result(timeout=20)


async def test_protobuf_messages_travel_with_their_type(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.double", Duration(seconds=21))
    assert Duration(seconds=42) == await handle.result(timeout=20, result_type=Duration)
    result = (await handle.status()).result
    assert result is not None
    assert "google.protobuf.Duration" == result.message_type


async def test_an_operation_that_fails_each_time_fails_with_the_last_error_and_all_its_attempts(
    submitter: AsyncClient, watcher: AsyncClient
) -> None:
    handle = await submitter.submit("test.fail")
    with pytest.raises(OperationFailed, match="it is not there") as raised:
        await watcher.attach(handle.id).result(timeout=20)
    assert "LOOKUP_ERROR" == raised.value.reason
    operation = await handle.status()
    assert State.FAILED is operation.state
    assert [(1, "LOOKUP_ERROR"), (2, "LOOKUP_ERROR")] == [
        (attempt.number, attempt.error.reason if attempt.error else None) for attempt in operation.attempts
    ]
    assert all(attempt.worker and attempt.start_time and attempt.end_time for attempt in operation.attempts)


async def test_an_operation_that_succeeds_at_last_succeeds(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.flaky", {"failures": 2})
    assert 3 == await handle.result(timeout=20)
    errors = [attempt.error for attempt in (await handle.status()).attempts]
    assert ["VALUE_ERROR", "VALUE_ERROR", None] == [error.reason if error else None for error in errors]


async def test_a_permanent_error_is_not_tried_again(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.fail_for_good")
    with pytest.raises(OperationFailed, match="never like this"):
        await handle.result(timeout=20)
    assert 1 == (await handle.status()).attempt


async def test_the_callers_retry_policy_goes_before_the_handlers(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.fail", max_attempts=3)
    with pytest.raises(OperationFailed):
        await handle.result(timeout=20)
    operation = await handle.status()
    assert (3, timedelta(milliseconds=50)) == (operation.attempt, operation.retry_policy.initial_backoff)


async def test_the_handler_knows_what_the_caller_said(deployment: Deployment) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=1"}
    async with AsyncClient(deployment.last, metadata=[*trace.items(), ("x-secret", "not told")]) as caller:
        handle = await caller.submit(
            "test.context", correlation_id="order 7", labels={"tenant": "acme"}, attempt_timeout=timedelta(minutes=1)
        )
        assert {
            "operation_id": handle.id,
            "attempt": 1,
            "correlation_id": "order 7",
            "labels": {"tenant": "acme"},
            "headers": trace,
            "has_deadline": True,
        } == await handle.result(timeout=20)


async def test_the_operation_id_stands_in_for_a_correlation_id(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.context")
    assert handle.id == (await handle.result(timeout=20))["correlation_id"]
    assert handle.id == (await handle.status()).correlation_id
