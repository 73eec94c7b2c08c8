"""What a submit promises, in both deployments and across servers."""

import asyncio
from datetime import timedelta

import pytest

from rejoinder_client import AlreadyExists, AsyncClient, InvalidRequest, NotFound, State
from tests.support.deployment import Deployment
from tests.support.side_effects import Effects


async def test_a_request_id_stands_for_one_operation_on_every_server(
    submitter: AsyncClient, watcher: AsyncClient, namespace: str
) -> None:
    first = await submitter.submit("test.echo", {"rows": 1}, request_id=namespace)
    again = await watcher.submit("test.echo", {"rows": 1}, request_id=namespace)
    assert first.submission is not None
    assert again.submission is not None
    assert (first.id, first.submission.operation.uid) == (again.id, again.submission.operation.uid)
    assert (False, True) == (first.submission.deduplicated, again.submission.deduplicated)


async def test_of_submits_at_the_same_moment_with_one_request_id_one_is_stored(
    submitter: AsyncClient, watcher: AsyncClient, namespace: str, effects: Effects
) -> None:
    handles = await asyncio.gather(
        *(
            client.submit("test.work", effects.request(), request_id=namespace)
            for _ in range(20)
            for client in (submitter, watcher)
        )
    )
    assert 1 == len({handle.id for handle in handles})
    assert 1 == sum(not handle.submission.deduplicated for handle in handles if handle.submission)
    await handles[0].result(timeout=20)
    assert [handles[0].id] == effects.started()


async def test_a_request_id_is_refused_for_other_content_and_names_the_operation(
    submitter: AsyncClient, watcher: AsyncClient, namespace: str
) -> None:
    handle = await submitter.submit("test.echo", {"rows": 1}, request_id=namespace)
    with pytest.raises(AlreadyExists, match=handle.id) as raised:
        await watcher.submit("test.echo", {"rows": 2}, request_id=namespace)
    assert "REQUEST_ID_REUSED" == raised.value.reason


async def test_a_request_id_of_another_type_is_another_one(submitter: AsyncClient, namespace: str) -> None:
    first = await submitter.submit("test.echo", request_id=namespace)
    other = await submitter.submit("test.context", request_id=namespace)
    assert first.id != other.id


async def test_an_operation_id_that_is_taken_is_refused(
    submitter: AsyncClient, watcher: AsyncClient, namespace: str
) -> None:
    await submitter.submit("test.echo", operation_id=namespace)
    with pytest.raises(AlreadyExists) as raised:
        await watcher.submit("test.echo", operation_id=namespace)
    assert "OPERATION_ID_TAKEN" == raised.value.reason


async def test_a_submit_that_waits_is_answered_with_the_result(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.echo", "at once", wait_timeout=timedelta(seconds=20))
    assert handle.submission is not None
    assert State.SUCCEEDED is handle.submission.operation.state
    assert "at once" == await handle.result(timeout=20)


async def test_a_submit_that_waits_is_answered_when_its_wait_has_passed(
    submitter: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.hold", effects.request(), wait_timeout=timedelta(milliseconds=200))
    assert handle.submission is not None
    assert not handle.submission.operation.state.is_terminal
    effects.open()
    assert "released" == await handle.result(timeout=20)


async def test_a_submit_that_only_validates_stores_nothing(
    submitter: AsyncClient, watcher: AsyncClient, namespace: str
) -> None:
    tried = await submitter.submit("test.echo", operation_id=namespace, priority=7, validate_only=True)
    assert tried.submission is not None
    assert (State.ACCEPTED, 7, "test") == (
        tried.submission.operation.state,
        tried.submission.operation.priority,
        tried.submission.operation.queue,
    )
    with pytest.raises(NotFound):
        await watcher.attach(namespace).status()


async def test_the_handlers_defaults_are_those_of_the_operation(submitter: AsyncClient) -> None:
    handle = await submitter.submit("test.fail", validate_only=True)
    assert handle.submission is not None
    policy = handle.submission.operation.retry_policy
    assert (2, timedelta(milliseconds=50)) == (policy.max_attempts, policy.initial_backoff)
    assert timedelta(minutes=30) == handle.submission.operation.timeouts.attempt_timeout


async def test_an_unknown_type_is_refused_with_one_that_looks_alike(watcher: AsyncClient) -> None:
    with pytest.raises(InvalidRequest, match=r"test\.echo") as raised:
        await watcher.submit("test.ecko")
    assert "UNKNOWN_TYPE" == raised.value.reason


async def test_namespaces_know_nothing_of_each_other(deployment: Deployment, namespace: str) -> None:
    async with (
        AsyncClient(deployment.first, namespace=f"{namespace}-1") as one,
        AsyncClient(deployment.last, namespace=f"{namespace}-2") as other,
    ):
        first = await one.submit("test.echo", 1, operation_id="same", request_id="same")
        second = await other.submit("test.echo", 2, operation_id="same", request_id="same")
        assert (1, 2) == (await first.result(timeout=20), await second.result(timeout=20))
        assert [first.submission.operation.uid] == [found.uid async for found in one.list()]  # type: ignore[union-attr] # it has one
        await other.delete("same")
        assert State.SUCCEEDED is (await first.status()).state


async def test_hundreds_of_operations_submitted_at_once_all_succeed(
    submitter: AsyncClient, watcher: AsyncClient
) -> None:
    handles = await asyncio.gather(
        *((submitter, watcher)[index % 2].submit("test.echo", index) for index in range(200))
    )
    assert list(range(200)) == await asyncio.gather(*(handle.result(timeout=60) for handle in handles))
