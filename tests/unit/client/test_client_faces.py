"""Both faces against a scripted service: each test runs once with Client and once with AsyncClient."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from rejoinder.v1 import operation_pb2, operation_service_pb2
from rejoinder_client import (
    AsyncClient,
    Client,
    Interruption,
    NotFound,
    OperationFailed,
    RejoinderError,
    Unavailable,
    WaitTimeout,
)
from tests.support.scripted_service import (
    Fail,
    Hang,
    ScriptedService,
    State,
    error_info,
    heartbeat,
    operation,
    progress,
    serve,
    snapshot,
    transition,
)

CUT = Fail(grpc.StatusCode.UNAVAILABLE)
DONE = transition(9, 2, State.STATE_SUCCEEDED)
SUBMITTED = operation_service_pb2.SubmitResponse(operation=operation(State.STATE_ACCEPTED), cursor="c1")

Connect = Callable[..., Any]


class Blocking:
    """An object of the asynchronous face that is used like one of the synchronous face."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._call(value) if inspect.ismethod(value) else value

    def _call(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            answer = method(*args, **options)
            if inspect.isasyncgen(answer):
                return self._iterate(answer)
            if inspect.iscoroutine(answer):
                answer = self._runner.run(answer)
            return Blocking(answer, self._runner) if hasattr(answer, "watch") else answer

        return call

    def _iterate(self, iterator: Any) -> Iterator[Any]:
        async def step() -> Any:
            return await anext(iterator)

        try:
            with suppress(StopAsyncIteration):
                while True:
                    yield self._runner.run(step())
        finally:
            self._runner.run(iterator.aclose())


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with serve() as running:
        yield running


@pytest.fixture(params=["sync", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Return a function that makes a client of one face."""
    with asyncio.Runner() as runner:
        clients: list[Any] = []

        def make(server: str, **options: Any) -> Any:
            if request.param == "sync":
                clients.append(Client(server, **options))
            else:
                clients.append(Blocking(AsyncClient(server, **options), runner))
            return clients[-1]

        yield make
        for client in clients:
            client.close()


@pytest.fixture
def client(connect: Connect, service: ScriptedService) -> Any:
    return connect(service.address, namespace="team")


def test_submit_answers_a_handle_with_what_the_server_said(service: ScriptedService, client: Any) -> None:
    service.answer("Submit", SUBMITTED)
    handle = client.submit("demo.work", {"n": 1}, priority=5)
    assert (handle.id, handle.submission.cursor, handle.submission.deduplicated) == ("op", "c1", False)
    request = service.seen("Submit")[0]
    assert (
        request.namespace,
        request.type,
        request.priority,
        request.payload.json,
    ) == ("team", "demo.work", 5, '{"n":1}')


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_submit_is_tried_again_under_the_same_request_id(
    service: ScriptedService, client: Any, code: grpc.StatusCode
) -> None:
    service.answer("Submit", Fail(code), Fail(code), SUBMITTED)
    client.submit("demo.work")
    assert len(service.seen("Submit")) == 3
    assert len({request.request_id for request in service.seen("Submit")}) == 1


def test_an_error_has_the_reason_that_the_server_gave(service: ScriptedService, client: Any) -> None:
    service.answer("GetStatus", Fail(grpc.StatusCode.NOT_FOUND, "Nothing there (PURGED)", [error_info("PURGED")]))
    with pytest.raises(NotFound, match="Nothing there") as caught:
        client.attach("op").status()
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "PURGED")


def test_a_call_that_the_server_cancels_is_unavailable(service: ScriptedService, client: Any) -> None:
    service.answer("GetStatus", *[Fail(grpc.StatusCode.CANCELLED)] * 5)
    with pytest.raises(Unavailable):
        client.attach("op").status()


def test_status_can_wait_and_show_the_request(service: ScriptedService, client: Any) -> None:
    request = operation_pb2.Payload(json="[1]")
    service.answer("GetStatus", operation_service_pb2.GetStatusResponse(operation=operation(request=request)))
    status = client.attach("op").status(full=True, wait_timeout=timedelta(seconds=2))
    assert status.request.decode() == [1]
    assert Duration(seconds=2) == service.seen("GetStatus")[0].wait_timeout


def test_cancel_sends_its_reason_and_answers_the_operation(service: ScriptedService, client: Any) -> None:
    service.answer(
        "CancelOperation", operation_service_pb2.CancelOperationResponse(operation=operation(State.STATE_CANCELLED))
    )
    assert client.attach("op").cancel("why").state == "CANCELLED"
    assert service.seen("CancelOperation")[0].reason == "why"


def test_list_iterates_over_all_pages(service: ScriptedService, client: Any) -> None:
    page = operation_service_pb2.ListOperationsResponse
    service.answer(
        "ListOperations",
        page(operations=[operation(operation_id="a"), operation(operation_id="b")], next_page_token="t"),
        page(next_page_token="u"),
        page(operations=[operation(operation_id="c")]),
    )
    assert [each.operation_id for each in client.list(types=["demo.work"])] == ["a", "b", "c"]
    assert [request.page_token for request in service.seen("ListOperations")] == ["", "t", "u"]


def test_types_and_limits_come_from_one_rpc(service: ScriptedService, client: Any) -> None:
    answer = operation_service_pb2.ListTypesResponse(
        types=[operation_pb2.OperationType(name="demo.work", live_workers=2)],
        limits=operation_pb2.Limits(max_labels=16),
    )
    service.answer("ListTypes", answer, answer)
    assert [(each.name, each.live_workers) for each in client.types()] == [("demo.work", 2)]
    assert client.limits().max_labels == 16


def test_delete_names_the_operation(service: ScriptedService, client: Any) -> None:
    service.answer("DeleteOperation", operation_service_pb2.DeleteOperationResponse())
    client.delete("op")
    assert [request.operation_id for request in service.seen("DeleteOperation")] == ["op"]


def test_a_watch_resumes_by_cursor_after_every_kind_of_cut(service: ScriptedService, client: Any) -> None:
    service.stream(snapshot(1), progress(2), CUT)
    service.stream(Fail(grpc.StatusCode.CANCELLED))
    service.stream(Fail(grpc.StatusCode.RESOURCE_EXHAUSTED))
    service.stream(progress(2), transition(3, 1), Fail(grpc.StatusCode.DEADLINE_EXCEEDED))
    service.stream(transition(3, 1), progress(5), progress(4), DONE)
    interruptions: list[Interruption] = []
    shown = list(client.attach("op").watch(on_interruption=interruptions.append))
    assert [update.revision for update in shown] == [1, 2, 3, 5, 9]
    assert [request.cursor for request in service.seen("WatchStatus")] == ["", "c2", "c2", "c2", "c3"]
    assert [each.cause.code for each in interruptions] == [
        "UNAVAILABLE",
        "CANCELLED",
        "RESOURCE_EXHAUSTED",
        "DEADLINE_EXCEEDED",
    ]


def test_a_stream_that_falls_silent_is_left(service: ScriptedService, client: Any) -> None:
    service.stream(snapshot(1), heartbeat(1, interval=timedelta(milliseconds=40)), Hang())
    service.stream(DONE)
    assert [update.revision for update in client.attach("op").watch()] == [1, 9]
    assert service.hung_up.wait(10)


def test_result_is_the_decoded_result(service: ScriptedService, client: Any) -> None:
    service.stream(snapshot(1), DONE)
    assert client.attach("op").result(timeout=10) == {"n": 1}


def test_result_decodes_as_the_class_that_is_given(service: ScriptedService, client: Any) -> None:
    result = operation_pb2.Payload(data=b"\x08\x05", message_type="acme.v1.Unknown")
    message = snapshot(1, State.STATE_SUCCEEDED)
    message.snapshot.result.CopyFrom(result)
    service.stream(message)
    assert Duration(seconds=5) == client.attach("op").result(10, result_type=Duration)


def test_result_of_a_submit_that_waited_needs_no_watch(service: ScriptedService, client: Any) -> None:
    ended = operation(State.STATE_SUCCEEDED)
    service.answer("Submit", operation_service_pb2.SubmitResponse(operation=ended))
    assert client.submit("demo.work", wait_timeout=timedelta(seconds=5)).result() == {"n": 1}


def test_result_of_a_failed_operation_raises_with_the_operation(service: ScriptedService, client: Any) -> None:
    service.stream(snapshot(1, State.STATE_FAILED))
    with pytest.raises(OperationFailed, match="it went wrong") as caught:
        client.attach("op").result()
    assert caught.value.operation.state == "FAILED"


def test_result_that_does_not_come_in_time_never_cancels(service: ScriptedService, client: Any) -> None:
    service.stream(snapshot(1), Hang())
    with pytest.raises(WaitTimeout) as caught:
        client.attach("op").result(timeout=0.2)
    assert caught.value.operation_id == "op"
    assert service.seen("CancelOperation") == []
    assert service.hung_up.wait(10)


def test_leaving_a_watch_ends_its_stream(service: ScriptedService, client: Any) -> None:
    service.stream(snapshot(1), Hang())
    updates = client.attach("op").watch()
    next(updates)
    updates.close()
    assert service.hung_up.wait(10)


def test_nothing_is_done_after_close(service: ScriptedService, client: Any) -> None:
    client.close()
    with pytest.raises(RejoinderError, match="closed") as caught:
        client.types()
    assert caught.value.reason == "CLIENT_CLOSED"
    with pytest.raises(RejoinderError, match="closed"):
        client.attach("op").result()


def test_metadata_is_asked_for_before_each_call(service: ScriptedService, connect: Connect) -> None:
    tokens = iter(["one", "two"])
    client = connect(service.address, metadata=lambda: [("authorization", next(tokens))])
    service.answer("ListTypes", operation_service_pb2.ListTypesResponse())
    service.stream(DONE)
    client.types()
    assert service.metadata["authorization"] == "one"
    list(client.attach("op").watch())
    assert service.metadata["authorization"] == "two"


def test_no_server_is_unavailable_in_a_moment(connect: Connect) -> None:
    with serve() as gone:
        address = gone.address
    with pytest.raises(Unavailable):
        connect(address).types()


def test_a_watch_with_a_budget_gives_up_when_no_server_answers(connect: Connect) -> None:
    with serve() as gone:
        address = gone.address
    with pytest.raises(Unavailable):
        list(connect(address).attach("op").watch(reconnect_for=0.3))


def test_a_server_that_is_down_is_passed_over(service: ScriptedService, connect: Connect) -> None:
    with serve() as gone:
        both = f"{gone.address},{service.address}".replace("127.0.0.1", "localhost")
    service.answer("ListTypes", *[operation_service_pb2.ListTypesResponse()] * 4)
    service.stream(DONE)
    client = connect(both)
    for _ in range(4):
        client.types()
    assert client.attach("op").result(timeout=20) == {"n": 1}


def test_a_watch_goes_on_with_the_other_server(connect: Connect) -> None:
    with ExitStack() as second_stack, ExitStack() as first_stack:
        servers = {first_stack: first_stack.enter_context(serve()), second_stack: second_stack.enter_context(serve())}
        for server in servers.values():
            server.stream(snapshot(1), Hang())
            server.stream(DONE)
        updates = connect(",".join(server.address for server in servers.values())).attach("op").watch()
        next(updates)
        [serving] = [stack for stack, server in servers.items() if server.seen("WatchStatus")]
        [other] = [server for stack, server in servers.items() if stack is not serving]
        other.streams.popleft()
        serving.close()
        assert [update.revision for update in updates] == [9]
        assert other.seen("WatchStatus")[0].cursor == "c1"


def test_a_client_comes_back_to_a_server_that_was_restarted(connect: Connect) -> None:
    with serve() as first:
        port = int(first.address.rpartition(":")[2])
        first.stream(snapshot(1), Hang())
        updates = connect(first.address).attach("op").watch()
        next(updates)
    with serve(port=port) as second:
        second.stream(DONE)
        assert [update.revision for update in updates] == [9]


def test_the_synchronous_face_leaves_no_thread_behind(service: ScriptedService) -> None:
    def watchdogs() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "rejoinder-watchdog"]

    service.stream(snapshot(1), CUT)
    service.stream(DONE)
    with Client(service.address) as client:
        list(client.attach("op").watch())
        assert watchdogs() == []


def test_closing_from_another_thread_ends_a_watch(service: ScriptedService) -> None:
    service.stream(snapshot(1), Hang())
    client = Client(service.address)
    updates = client.attach("op").watch()
    next(updates)
    closer = threading.Thread(target=client.close)
    closer.start()
    with pytest.raises(RejoinderError, match="closed"):
        next(updates)
    closer.join(10)
    assert service.hung_up.wait(10)


async def test_closing_from_another_task_ends_a_watch(service: ScriptedService) -> None:
    service.stream(snapshot(1), Hang())
    client = AsyncClient(service.address)
    updates = client.attach("op").watch()
    await anext(updates)
    waiting = asyncio.ensure_future(anext(updates))
    await asyncio.wait([waiting], timeout=0.05)
    await client.close()
    with pytest.raises(RejoinderError, match="closed"):
        await waiting


async def test_cancelling_the_callers_task_ends_its_stream(service: ScriptedService) -> None:
    service.stream(snapshot(1), Hang())
    async with AsyncClient(service.address) as client:
        waiting = asyncio.ensure_future(client.attach("op").result())
        await asyncio.wait([waiting], timeout=0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.to_thread(service.hung_up.wait, 10)
