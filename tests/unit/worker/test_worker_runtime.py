"""What a worker process does with grants, with real Dramatiq threads."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from rejoinder.worker.v1.worker_pb2 import Event, WorkerMessage
from rejoinder_worker import Context, PermanentError, Registry, RetryLater
from rejoinder_worker.attempt import Stop
from rejoinder_worker.held import Held
from tests.support.manual_time import ManualTime
from tests.support.recording_broker import RecordingBroker
from tests.support.waiting import eventually
from tests.support.worker_runs import running_worker


class Gate:
    """A handler's place to wait at, and the sign that it does."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        assert self.opened.wait(20)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def registry(gate: Gate) -> Registry:
    made = Registry()

    @made.handler("echo")
    def echo(context: Context, request: Any) -> Any:
        return request

    @made.handler("blocked")
    def blocked(context: Context, request: Any) -> Any:
        gate.wait()
        context.raise_if_cancelled()
        return "done"

    @made.handler("deaf")
    def deaf(context: Context, request: Any) -> Any:
        gate.wait()
        return "done"

    @made.handler("coroutine.waits")
    async def coroutine_waits(context: Context, request: Any) -> Any:
        gate.entered.set()
        await asyncio.Event().wait()

    @made.handler("coroutine.answers")
    async def coroutine_answers(context: Context, request: Any) -> Any:
        await asyncio.wait_for(asyncio.to_thread(lambda: None), 20)
        return {"thread": threading.current_thread().name}

    return made


def reason_of(event: Event) -> str:
    info = error_details_pb2.ErrorInfo()
    assert event.failed.error.details[0].Unpack(info)
    return str(info.reason)


async def test_a_sync_handler_answers(registry: Registry) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("echo", '{"big": 9223372036854775807}')
        event = await run.ending(grant)
    assert '{"big":9223372036854775807}' == event.succeeded.result.json
    assert 1 == event.succeeded.number
    assert "worker-1" == event.worker


async def test_an_async_handler_runs_on_the_loop_of_its_own_thread(registry: Registry) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("coroutine.answers")
        event = await run.ending(grant)
    assert '{"thread":"async-handlers"}' == event.succeeded.result.json


async def test_a_connection_begins_with_announcement_heartbeat_and_claim(registry: Registry) -> None:
    async with running_worker(registry, threads=3) as run:
        assert ["announcement", "heartbeat"] == run.broker.kinds_of_events
        assert 5 == len(run.broker.events[0].announcement.types)
        assert 3 == run.broker.heartbeats[0].total_slots
        assert "connection-1" == run.broker.heartbeats[0].connection_id
        assert [(3, True)] == [(claim.free_slots, claim.idle) for claim in run.broker.claims]


async def test_a_raised_error_is_reported_with_reason_attempt_and_worker() -> None:
    registry = Registry()

    @registry.handler("fails")
    def fails(context: Context, request: Any) -> None:
        raise ValueError("no\0 good")

    async with running_worker(registry) as run:
        grant = run.broker.grant("fails")
        event = await run.ending(grant)
    info = error_details_pb2.ErrorInfo()
    event.failed.error.details[0].Unpack(info)
    assert (
        "rejoinder",
        "VALUE_ERROR",
        {"attempt": "1", "worker": "worker-1"},
    ) == (info.domain, info.reason, dict(info.metadata))
    assert (2, "no\ufffd good") == (event.failed.error.code, event.failed.error.message)
    assert not event.failed.permanent


async def test_permanent_errors_and_requests_for_a_delay_are_reported_as_such() -> None:
    registry = Registry()

    @registry.handler("fails")
    def fails(context: Context, request: str) -> None:
        if request == "permanent":
            raise PermanentError("never", reason="NoSuchReport")
        raise RetryLater(timedelta(seconds=90), "not yet")

    async with running_worker(registry) as run:
        permanent, later = run.broker.grant("fails", '"permanent"'), run.broker.grant("fails", '"later"')
        first = await run.ending(permanent)
        second = await run.ending(later)
    assert (True, "NO_SUCH_REPORT") == (first.failed.permanent, reason_of(first))
    assert (second.failed.permanent, second.failed.retry_delay.ToTimedelta()) == (False, timedelta(seconds=90))


class ForgetfulError(PermanentError):
    def __init__(self, code: int) -> None:
        self.code = code


class ForgetfulRetry(RetryLater):
    def __init__(self, code: int) -> None:
        self.code = code


class SilentError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("error", "reason", "permanent"),
    [
        (ForgetfulError(5), "FORGETFUL_ERROR", True),
        (ForgetfulRetry(5), "FORGETFUL_RETRY", False),
        (SilentError(), "SILENT_ERROR", False),
        (RetryLater(timedelta.max), "RETRY_LATER", False),
    ],
)
async def test_an_error_that_does_not_describe_itself_ends_its_attempt_all_the_same(
    error: Exception, reason: str, permanent: bool
) -> None:
    registry = Registry()

    @registry.handler("fails")
    def fails(context: Context, request: Any) -> None:
        raise error

    async with running_worker(registry, threads=1) as run:
        event = await run.ending(run.broker.grant("fails"))
        assert (reason, permanent) == (reason_of(event), event.failed.permanent)
        await eventually(lambda: not run.runtime._slots.running)


async def test_a_request_that_does_not_fit_fails_for_good() -> None:
    registry = Registry()

    @registry.handler("typed")
    def typed(context: Context, request: dict[str, int]) -> None:
        raise AssertionError

    async with running_worker(registry) as run:
        grant = run.broker.grant("typed", '{"rows": "many"}')
        event = await run.ending(grant)
    assert (True, "INVALID_REQUEST") == (event.failed.permanent, reason_of(event))
    assert "request.rows: expected a whole number, but it is a string" == event.failed.error.message


@pytest.mark.parametrize(
    ("answer", "reason", "message"),
    [
        ({"at": {1, 2}}, "INVALID_RESULT", "result.at: a value of type set cannot be encoded as JSON"),
        ("x" * 1000, "RESULT_TOO_LARGE", "the result has 1002 bytes, and the limit is 1000"),
    ],
)
async def test_an_answer_that_cannot_be_sent_fails_for_good(answer: Any, reason: str, message: str) -> None:
    registry = Registry()

    @registry.handler("answers")
    def answers(context: Context, request: Any) -> Any:
        return answer

    async with running_worker(registry) as run:
        grant = run.broker.grant("answers")
        event = await run.ending(grant)
    assert (event.failed.permanent, reason_of(event), event.failed.error.message) == (True, reason, message)


async def test_a_handler_that_exits_the_interpreter_only_fails() -> None:
    registry = Registry()

    @registry.handler("exits")
    def exits(context: Context, request: Any) -> None:
        raise SystemExit(3)

    @registry.handler("coroutine.exits")
    async def coroutine_exits(context: Context, request: Any) -> None:
        raise SystemExit(3)

    async with running_worker(registry) as run:
        for name in ("exits", "coroutine.exits"):
            grant = run.broker.grant(name)
            event = await run.ending(grant)
            assert "SYSTEM_EXIT" == reason_of(event)


async def test_a_cancelled_sync_handler_sees_the_flag_and_reports_a_failure(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("blocked")
        await eventually(gate.entered.is_set)
        run.broker.stop_attempts(cancelled=[grant.fence])
        gate.opened.set()
        event = await run.ending(grant)
    assert "CANCELLED" == reason_of(event)


async def test_a_cancelled_async_handler_is_cancelled(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("coroutine.waits")
        await eventually(gate.entered.is_set)
        run.broker.answer_heartbeat(cancelled=[grant.fence])  # lists nothing, and is obeyed all the same
        event = await run.ending(grant)
    assert (1, "CANCELLED") == (event.failed.error.code, reason_of(event))


async def test_a_cancelled_handler_may_still_succeed(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("deaf")
        await eventually(gate.entered.is_set)
        run.broker.stop_attempts(cancelled=[grant.fence])
        gate.opened.set()
        event = await run.ending(grant)
    assert '"done"' == event.succeeded.result.json


async def test_a_zombie_reports_nothing_and_keeps_its_slot_until_it_returns(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry, heartbeat_interval=0.05) as run:
        grant = run.broker.grant("deaf")
        run.broker.answer(granted=1)
        await eventually(lambda: run.broker.heartbeats[-1].fences)
        run.broker.answer_heartbeat(stale=[grant.fence])
        await eventually(lambda: run.broker.heartbeats[-1].zombies)
        heartbeat = run.broker.heartbeats[-1]
        assert (1, 1, []) == (heartbeat.zombies, heartbeat.free_slots, list(heartbeat.fences))
        gate.opened.set()
        await eventually(lambda: run.broker.heartbeats[-1].free_slots == 2)
        assert [] == run.broker.reports(grant)


async def test_an_attempt_that_is_stale_before_its_grant_comes_is_never_started(registry: Registry) -> None:
    async with running_worker(registry, threads=1) as run:
        early = run.broker.make_grant("echo")
        run.broker.stop_attempts(stale=[early.fence])
        run.broker.send(WorkerMessage(grant=early))
        assert (await run.ending(run.broker.grant("echo"))).HasField("succeeded")
        assert [] == run.broker.reports(early)


async def test_an_attempt_that_is_cancelled_before_its_grant_comes_is_released(registry: Registry) -> None:
    async with running_worker(registry) as run:
        early = run.broker.make_grant("deaf")
        run.broker.stop_attempts(cancelled=[early.fence])
        run.broker.send(WorkerMessage(grant=early))
        event = await run.ending(early)
    assert "CANCELLED" == event.released.reason


async def test_only_so_many_stops_are_remembered_for_grants_that_may_come() -> None:
    held = Held()
    keys = [("default", str(number), "u", 1, "n") for number in range(1001)]
    for key in keys:
        held.note_early_stop(key, Stop.FENCED)
    assert [None, Stop.FENCED] == [held.take_early_stop(key) for key in keys[:2]]


async def test_an_unknown_type_is_released(registry: Registry) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("no.such")
        event = await run.ending(grant)
    assert "UNKNOWN_TYPE" == event.released.reason


async def test_grants_beyond_the_free_slots_are_released(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry, threads=1) as run:
        run.broker.grant("deaf")
        surplus = run.broker.grant("echo")
        event = await run.ending(surplus)
        gate.opened.set()
    assert "SURPLUS" == event.released.reason


async def test_a_grant_that_comes_twice_runs_once(registry: Registry) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("echo")
        run.broker.grant("echo", fence=grant.fence)
        await run.ending(grant)
        run.broker.grant("echo", fence=grant.fence)
        other = run.broker.grant("echo")
        await run.ending(other)
        assert 1 == len(run.broker.reports(grant))


async def test_a_grant_near_the_end_of_its_lease_is_released(registry: Registry) -> None:
    time = ManualTime()
    async with running_worker(registry, clock=time) as run:
        time.advance(26)  # of 30, with a margin of 5
        grant = run.broker.grant("echo")
        event = await run.ending(grant)
    assert "LATE" == event.released.reason


async def test_a_grant_of_a_claim_that_nobody_knows_is_late(registry: Registry) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("echo", claim_id="somebody's")
        run.broker.answer()
        event = await run.ending(grant)
    assert event.released.reason in {"LATE", "SURPLUS"}


async def test_progress_comes_before_the_end_and_the_last_one_always(registry: Registry) -> None:
    @registry.handler("counts")
    def counts(context: Context, request: Any) -> None:
        for index in range(1, 101):
            context.progress(index, total=100, unit="rows")

    async with running_worker(registry) as run:
        grant = run.broker.grant("counts")
        await run.ending(grant)
        reports = run.broker.reports(grant)
    assert ["progress", "succeeded"] == [report.WhichOneof("event") for report in reports[-2:]]
    assert 100 == reports[-2].progress.progress.completed
    assert len(reports) < 10
    numbers = [getattr(report, report.WhichOneof("event") or "").number for report in reports]
    assert numbers == list(range(1, len(reports) + 1))


async def test_invalid_progress_fails_the_handler_that_reports_it(registry: Registry) -> None:
    @registry.handler("counts")
    def counts(context: Context, request: Any) -> None:
        context.progress(1, message="\0")

    async with running_worker(registry) as run:
        grant = run.broker.grant("counts")
        event = await run.ending(grant)
    assert "VALUE_ERROR" == reason_of(event)
    assert "progress: message must not contain control characters: '\\x00'" == event.failed.error.message


async def test_unconfirmed_reports_are_listed_and_sent_again_in_order_after_a_reconnect(registry: Registry) -> None:
    broker = RecordingBroker(confirms=False)
    async with running_worker(registry, broker=broker) as run:
        grants = [broker.grant("echo"), broker.grant("echo")]
        await eventually(lambda: all(broker.ending(grant) for grant in grants))
        order = [event.succeeded.fence.uid for event in broker.events if event.HasField("succeeded")]
        broker.disconnect()
        before = len(broker.events)
        broker.connect()
        again = broker.events[before:]
        assert ["announcement", "heartbeat"] == [event.WhichOneof("event") for event in again[:2]]
        assert {fence.uid for fence in again[1].heartbeat.fences} == set(order)
        assert [event.succeeded.fence.uid for event in again[2:]] == order
        broker.confirm_all()
        broker.confirms = True
        assert await run.shut_down()
        assert [] == list(broker.heartbeats[-1].fences)


async def test_an_end_during_an_outage_is_reported_after_it(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("deaf")
        await eventually(gate.entered.is_set)
        run.broker.disconnect()
        gate.opened.set()
        run.broker.connect()
        assert [fence.uid for fence in run.broker.heartbeats[-1].fences] == [grant.fence.uid]
        event = await run.ending(grant)
    assert event.HasField("succeeded")


async def test_shutdown_waits_for_running_handlers(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("deaf")
        await eventually(gate.entered.is_set)
        ending = asyncio.create_task(run.shut_down(grace=20))
        await asyncio.wait({ending}, timeout=0)  # let it begin
        late = run.broker.grant("echo")  # of a claim from before the shutdown
        gate.opened.set()
        assert await ending
        assert ["succeeded"] == [event.WhichOneof("event") for event in run.broker.reports(grant)]
        assert ["SHUTDOWN"] == [event.released.reason for event in run.broker.reports(late)]
        assert run.broker.heartbeats[-1].leaving


async def test_shutdown_releases_what_is_unfinished_and_stops_async_handlers(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry) as run:
        stuck, waiting = run.broker.grant("deaf"), run.broker.grant("coroutine.waits")
        await eventually(gate.entered.is_set)
        assert not await run.shut_down()
        for grant in (stuck, waiting):
            assert ["SHUTDOWN"] == [event.released.reason for event in run.broker.reports(grant)]
        assert run.broker.heartbeats[-1].leaving


async def test_an_impatient_shutdown_does_not_wait(registry: Registry, gate: Gate) -> None:
    hurry = asyncio.Event()
    async with running_worker(registry) as run:
        grant = run.broker.grant("deaf")
        await eventually(gate.entered.is_set)
        ending = asyncio.create_task(run.shut_down(grace=1000, hurry=hurry))
        hurry.set()
        await ending
        assert ["SHUTDOWN"] == [event.released.reason for event in run.broker.reports(grant)]


async def test_a_freed_slot_claims_at_once_when_more_work_remains(registry: Registry, gate: Gate) -> None:
    async with running_worker(registry, threads=1) as run:
        grant = run.broker.grant("deaf")
        run.broker.answer(granted=1, more=True)
        await eventually(gate.entered.is_set)
        assert 1 == len(run.broker.claims)
        gate.opened.set()
        await run.ending(grant)
        await eventually(lambda: len(run.broker.claims) == 2)


async def test_the_context_tells_the_operation_and_its_deadline() -> None:
    registry, seen, time = Registry(), [], ManualTime()

    @registry.handler("looks")
    def looks(context: Context, request: Any) -> None:
        seen.append(context)

    async with running_worker(registry, clock=time) as run:
        grant = run.broker.grant(
            "looks", correlation_id="c", labels={"a": "b"}, headers={"traceparent": "00-abc-def-01"}
        )
        await run.ending(grant)
    context = seen[0]
    assert (context.operation_id, context.attempt, context.correlation_id) == (grant.fence.operation_id, 1, "c")
    assert ({"a": "b"}, {"traceparent": "00-abc-def-01"}) == (dict(context.labels), dict(context.headers))
    assert context.deadline == time.now() + timedelta(minutes=5)


async def test_the_users_middleware_surrounds_the_handler_and_its_errors_are_reported(registry: Registry) -> None:
    calls: list[str] = []

    class Own(dramatiq.Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            calls.append(f"before {message.actor_name}")

        def after_process_message(self, broker: Any, message: Any, **outcome: Any) -> None:
            calls.append(f"after {message.actor_name}")

    class Guard(dramatiq.Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            if message.actor_name == "coroutine.answers":
                raise dramatiq.middleware.MiddlewareError("not today")
            if message.actor_name == "deaf":
                raise dramatiq.middleware.SkipMessage

    registry.middleware(Own())
    registry.middleware(Guard())
    async with running_worker(registry) as run:
        for name, kind in (("echo", ""), ("coroutine.answers", "MIDDLEWARE_ERROR"), ("deaf", "NOT_RUN")):
            grant = run.broker.grant(name)
            event = await run.ending(grant)
            assert (reason_of(event) if kind else "") == kind
            run.broker.answer()
    assert ["before echo", "after echo"] == calls[:2]


async def test_a_time_limit_of_the_users_ends_sync_and_async_handlers_once(gate: Gate) -> None:
    registry = Registry()
    registry.middleware(dramatiq.middleware.TimeLimit(time_limit=60_000, interval=10))

    @registry.handler("spins", options={"time_limit": 100})
    def spins(context: Context, request: Any) -> None:
        while not gate.opened.is_set():
            pass

    @registry.handler("waits", options={"time_limit": 100})
    async def waits(context: Context, request: Any) -> None:
        await asyncio.Event().wait()

    async with running_worker(registry) as run:
        for name in ("spins", "waits"):
            grant = run.broker.grant(name)
            assert "TIME_LIMIT_EXCEEDED" == reason_of(await run.ending(grant))
            assert 1 == len(run.broker.reports(grant))


async def test_a_message_that_makes_no_sense_is_counted_and_stops_nothing(registry: Registry) -> None:
    async with running_worker(registry, heartbeat_interval=0.05) as run:
        run.broker.send(WorkerMessage())
        run.broker.grant("echo", lease=duration_pb2.Duration(seconds=2**62))
        await eventually(lambda: run.broker.heartbeats[-1].unreadable_messages == 2)
        grant = run.broker.grant("echo")
        assert (await run.ending(grant)).HasField("succeeded")
        assert list(run.broker.heartbeats[-1].fences) in ([], [grant.fence])


async def test_a_type_that_moved_to_another_queue_runs_in_the_handlers(registry: Registry) -> None:
    async with running_worker(registry) as run:
        grant = run.broker.grant("echo", queue="former")
        assert (await run.ending(grant)).HasField("succeeded")


async def test_an_answered_heartbeat_that_listed_an_attempt_lengthens_its_lease(registry: Registry, gate: Gate) -> None:
    time = ManualTime()
    async with running_worker(registry, clock=time, heartbeat_interval=0.05) as run:
        grant = run.broker.grant("deaf")
        attempt = next(iter(run.runtime._held))
        assert 1025 == attempt.start_by
        time.advance(20)
        count = len(run.broker.heartbeats)
        await eventually(lambda: len(run.broker.heartbeats) > count)
        assert list(run.broker.heartbeats[-1].fences) == [grant.fence]
        run.broker.answer_heartbeat()
        assert 1045 == attempt.start_by
        gate.opened.set()


async def test_heartbeats_come_three_times_in_the_shortest_lease_that_was_granted(
    registry: Registry, gate: Gate
) -> None:
    async with running_worker(registry, heartbeat_interval=60) as run:
        run.broker.grant("deaf", lease=timedelta(seconds=1))
        run.broker.grant("echo", lease=timedelta(seconds=30))
        await eventually(lambda: len(run.broker.heartbeats) > 2, timeout=5)
        gate.opened.set()


async def test_an_attempt_that_waited_too_long_for_its_thread_is_released() -> None:
    registry, time = Registry(), ManualTime()

    class Delay(dramatiq.Middleware):
        """Stands for whatever keeps a thread from starting: suspension, or a stopped process."""

        def after_worker_thread_boot(self, broker: Any, thread: Any) -> None:
            started.wait(20)

    started = threading.Event()
    registry.middleware(Delay())
    registry.handler("echo")(lambda context, request: None)
    async with running_worker(registry, clock=time) as run:
        late, cancelled = run.broker.grant("echo"), run.broker.grant("echo")
        run.broker.stop_attempts(cancelled=[cancelled.fence])
        time.advance(26)
        started.set()
        assert "LATE" == (await run.ending(late)).released.reason
        assert "CANCELLED" == reason_of(await run.ending(cancelled))


async def test_a_handler_cannot_send_dramatiq_messages() -> None:
    registry = Registry()
    brokers: list[Any] = []

    class Spy(dramatiq.Middleware):
        def before_worker_boot(self, broker: Any, worker: Any) -> None:
            brokers.append(broker)

    registry.middleware(Spy())
    registry.handler("echo")(lambda context, request: None)
    async with running_worker(registry):
        with pytest.raises(RuntimeError, match="submit an operation instead"):
            brokers[0].get_actor("echo").send()
