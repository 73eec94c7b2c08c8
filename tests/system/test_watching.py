"""How a watch tells an operation's history, in both deployments and across servers."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import grpc
import pytest

from rejoinder.v1.operation_pb2 import Operation
from rejoinder.v1.operation_service_pb2 import (
    CancelOperationRequest,
    SubmitRequest,
    WatchStatusRequest,
    WatchStatusResponse,
)
from rejoinder_client import AsyncClient, NotFound, State, UpdateKind, WaitTimeout
from tests.support.raw_calls import SECONDS, RawCaller, refusal_of
from tests.support.side_effects import Effects

HISTORY = [
    (1, "SUBMITTED", Operation.STATE_ACCEPTED),
    (2, "GRANTED", Operation.STATE_RUNNING),
    (3, "SUCCEEDED", Operation.STATE_SUCCEEDED),
]


def watch(caller: RawCaller, operation: Operation, **fields: Any) -> Any:
    """Open a stream; it is cut after a generous time."""
    request = WatchStatusRequest(operation_id=operation.operation_id, **fields)
    return caller.stub.WatchStatus(request, timeout=SECONDS)


def transitions(messages: Sequence[WatchStatusResponse]) -> list[tuple[int, str, int]]:
    """Return the transitions among the messages."""
    found = [message.transition for message in messages if message.HasField("transition")]
    return [(transition.sequence, transition.reason, transition.state) for transition in found]


def revisions(messages: Sequence[WatchStatusResponse]) -> list[int]:
    """Return the revisions of all messages but heartbeats."""
    return [message.revision for message in messages if not message.HasField("heartbeat")]


async def test_progress_arrives_in_order_and_the_terminal_update_last(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.steps", effects.request("step", steps=5))
    seen: list[int] = []
    last = None
    async for update in watcher.attach(handle.id).watch(timeout=20):
        last = update
        # Only now: progress that the snapshot shows is not told again.
        effects.open("step.1")
        if update.progress is not None:
            seen.append(update.progress.completed)
            assert (5, "steps", f"step {seen[-1]}") == (
                update.progress.total,
                update.progress.unit,
                update.progress.message,
            )
            effects.open(f"step.{seen[-1] + 1}")
    assert [1, 2, 3, 4, 5] == seen
    assert last is not None
    assert last.operation is not None
    assert (UpdateKind.TRANSITION, State.SUCCEEDED) == (last.kind, last.operation.state)


async def test_each_progress_reaches_another_server_by_a_wake_up(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.steps", effects.request("step", steps=3))
    async with aclosing(watcher.attach(handle.id).watch()) as updates:
        await anext(updates)
        for step in (1, 2, 3):
            effects.open(f"step.{step}")
            async with asyncio.timeout(2):
                while (update := await anext(updates)).progress is None:
                    pass
            assert step == update.progress.completed


def test_a_watch_begins_with_a_snapshot(raw_first: RawCaller, raw_last: RawCaller, effects: Effects) -> None:
    operation = raw_first.submit("test.hold", effects.json())
    stream = watch(raw_last, operation)
    first = next(stream)
    assert operation.uid == first.snapshot.uid
    effects.open()
    rest = list(stream)
    messages = [first, *rest]
    begun = 2 if first.snapshot.state == Operation.STATE_RUNNING else 1
    assert HISTORY[begun:] == transitions(messages)
    assert sorted(set(revisions(messages))) == revisions(messages)
    assert '"released"' == rest[-1].transition.operation.result.json


def test_a_watch_from_the_start_tells_every_transition(raw_first: RawCaller, raw_last: RawCaller) -> None:
    operation = raw_first.finished(raw_first.submit("test.echo", "7"))
    messages = list(watch(raw_last, operation, from_start=True))
    assert HISTORY == transitions(messages)
    assert [False, False, True] == [message.transition.operation.HasField("result") for message in messages]


def test_a_watch_from_the_start_tells_why_attempts_ended(raw_first: RawCaller, raw_last: RawCaller) -> None:
    operation = raw_first.finished(raw_first.submit("test.fail"))
    messages = list(watch(raw_last, operation, from_start=True))
    assert ["SUBMITTED", "GRANTED", "RETRY", "GRANTED", "FAILED"] == [reason for _, reason, _ in transitions(messages)]
    assert [1, 2, 3, 4, 5] == [sequence for sequence, _, _ in transitions(messages)]
    assert ["", "", "it is not there", "", "it is not there"] == [
        message.transition.error.message for message in messages
    ]


def test_a_resume_tells_on_another_server_exactly_what_follows_the_cursor(
    raw_first: RawCaller, raw_last: RawCaller
) -> None:
    operation = raw_first.finished(raw_first.submit("test.flaky", '{"failures": 3}'))
    whole = list(watch(raw_first, operation, from_start=True))
    for place, message in enumerate(whole[:-1]):
        rest = list(watch(raw_last, operation, cursor=message.cursor))
        assert transitions(whole[place + 1 :]) == transitions(rest)
        assert revisions(whole[place + 1 :]) == revisions(rest)


def test_a_resume_at_the_terminal_cursor_ends_at_once(raw_first: RawCaller, raw_last: RawCaller) -> None:
    operation = raw_first.finished(raw_first.submit("test.echo", "7"))
    *_, last = watch(raw_first, operation)
    stream = watch(raw_last, operation, cursor=last.cursor)
    assert [] == transitions(list(stream))
    assert grpc.StatusCode.OK == stream.code()


def test_a_resume_that_has_nothing_to_tell_begins_with_a_heartbeat(
    raw_first: RawCaller, raw_last: RawCaller, effects: Effects
) -> None:
    operation = raw_first.submit("test.hold", effects.json())
    stream = watch(raw_first, operation)
    message = next(stream)
    while Operation.STATE_RUNNING not in (message.snapshot.state, message.transition.state):
        message = next(stream)
    stream.cancel()
    resumed = watch(raw_last, operation, cursor=message.cursor)
    heartbeat = next(resumed)
    assert (True, message.cursor) == (heartbeat.HasField("heartbeat"), heartbeat.cursor)
    effects.open()
    assert HISTORY[2:] == transitions(list(resumed))


def test_progress_is_not_told_again_after_a_resume(raw_first: RawCaller, raw_last: RawCaller, effects: Effects) -> None:
    operation = raw_first.submit("test.steps", effects.json("step", steps=2))
    effects.open("step.1")
    stream = watch(raw_first, operation)
    message = next(stream)
    while not message.HasField("progress"):
        message = next(stream)
    stream.cancel()
    resumed = watch(raw_last, operation, cursor=message.cursor)
    assert next(resumed).HasField("heartbeat")
    effects.open("step.2")
    rest = list(resumed)
    assert [2] == [found.progress.progress.completed for found in rest if found.HasField("progress")]
    assert min(revisions(rest)) > message.revision


async def test_a_watch_of_an_operation_that_has_ended_shows_its_end_at_once(
    submitter: AsyncClient, watcher: AsyncClient
) -> None:
    handle = await submitter.submit("test.echo", [1, 2])
    await handle.result(timeout=20)
    [only] = [update async for update in watcher.attach(handle.id).watch(timeout=20)]
    assert only.operation is not None
    assert (UpdateKind.SNAPSHOT, State.SUCCEEDED) == (only.kind, only.operation.state)
    assert [1, 2] == only.operation.result.decode()  # type: ignore[union-attr] # it has one


def test_heartbeats_come_at_the_interval_that_was_asked_for(raw_first: RawCaller, effects: Effects) -> None:
    operation = raw_first.submit("test.hold", effects.json(), delay={"seconds": 3600})
    stream = watch(raw_first, operation, heartbeat_interval={"seconds": 1})
    snapshot, heartbeat, another = next(stream), next(stream), next(stream)
    stream.cancel()
    assert heartbeat.heartbeat.interval.ToTimedelta().total_seconds() == 1
    assert heartbeat.heartbeat.waiting_reason == Operation.WAITING_REASON_SCHEDULED
    assert [snapshot.cursor] * 2 == [heartbeat.cursor, another.cursor]
    raw_first.stub.CancelOperation(CancelOperationRequest(operation_id=operation.operation_id), timeout=SECONDS)


def test_the_cursor_of_a_submit_resumes_behind_it(raw_first: RawCaller, raw_last: RawCaller) -> None:
    submitted = raw_first.stub.Submit(SubmitRequest(type="test.echo"), timeout=SECONDS)
    assert HISTORY[1:] == transitions(list(watch(raw_last, submitted.operation, cursor=submitted.cursor)))


def test_a_cursor_of_another_operation_is_refused(raw_first: RawCaller) -> None:
    one = raw_first.finished(raw_first.submit("test.echo"))
    other = raw_first.finished(raw_first.submit("test.echo"))
    *_, last = watch(raw_first, one)
    refusal = refusal_of(lambda: next(watch(raw_first, other, cursor=last.cursor)))
    assert ("INVALID_ARGUMENT", ("cursor",)) == (refusal.code, refusal.fields)


async def test_a_watch_of_an_unknown_operation_is_not_found(submitter: AsyncClient) -> None:
    with pytest.raises(NotFound) as raised:
        await submitter.attach("nobody").result(timeout=20)
    assert "UNKNOWN" == raised.value.reason


async def test_a_wait_that_ends_early_leaves_the_operation_alone(submitter: AsyncClient, effects: Effects) -> None:
    handle = await submitter.submit("test.hold", effects.request())
    with pytest.raises(WaitTimeout) as raised:
        await handle.result(timeout=0.2)
    assert handle.id == raised.value.operation_id
    effects.open()
    assert "released" == await handle.result(timeout=20)


async def test_many_watchers_of_one_operation_all_see_its_end(
    submitter: AsyncClient, watcher: AsyncClient, effects: Effects
) -> None:
    handle = await submitter.submit("test.hold", effects.request())
    waits = [
        asyncio.create_task(client.attach(handle.id).result(timeout=20))
        for client in (submitter, watcher)
        for _ in range(50)
    ]
    effects.open()
    assert ["released"] * 100 == await asyncio.gather(*waits)
