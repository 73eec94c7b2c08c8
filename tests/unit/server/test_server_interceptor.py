import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from rejoinder_server import errors
from rejoinder_server.interceptor import STATUS_DETAILS, ErrorInterceptor, code_of, status_of
from rejoinder_server.store.port import DataRefused, StoreUnavailable

Handler = Callable[[bytes, Any], Awaitable[bytes | None]]

BOUND = 10
UNARY = "/test.Tiny/Unary"
STREAM = "/test.Tiny/Stream"


class Tiny:
    """A server whose two methods do whatever a test puts into `handle`."""

    def __init__(self) -> None:
        self.handle: Handler = _nothing
        self.observed: list[tuple[str, str]] = []
        self.ended = asyncio.Event()
        self.interceptor = ErrorInterceptor(self._observe)
        # The stubs cannot tell what a method without serialisers takes.
        self.channel: Any = None

    def _observe(self, method: str, code: str, seconds: float) -> None:
        assert seconds >= 0
        self.observed.append((method, code))
        self.ended.set()

    async def calls(self) -> list[tuple[str, str]]:
        """Return the calls that were observed, once there is one: a caller may have its answer before that."""
        async with asyncio.timeout(BOUND):
            await self.ended.wait()
        return self.observed

    async def unary(self, request: bytes, context: Any) -> bytes | None:
        return await self.handle(request, context)

    async def stream(self, request: bytes, context: Any) -> None:
        await context.write(b"first")
        await self.handle(request, context)

    async def call(self, method: str = UNARY) -> list[bytes]:
        if method == UNARY:
            return [await self.channel.unary_unary(UNARY)(b"", timeout=BOUND)]
        messages: list[bytes] = [message async for message in self.channel.unary_stream(STREAM)(b"", timeout=BOUND)]
        return messages

    async def fail(self, error: BaseException, method: str = UNARY) -> grpc.aio.AioRpcError:
        async def handle(request: bytes, context: Any) -> bytes:
            raise error

        self.handle = handle
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method)
        return caught.value


async def _nothing(request: bytes, context: Any) -> bytes:
    return b"done"


@pytest.fixture
async def tiny() -> AsyncIterator[Tiny]:
    tiny = Tiny()
    server = grpc.aio.server(interceptors=[tiny.interceptor])
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Unary": grpc.unary_unary_rpc_method_handler(tiny.unary),
        "Stream": grpc.unary_stream_rpc_method_handler(tiny.stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Tiny", handlers),))
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection([reflection.SERVICE_NAME], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as tiny.channel:
        yield tiny
    await server.stop(None)


def details(error: grpc.aio.AioRpcError) -> Status:
    trailers = dict(error.trailing_metadata() or ())
    return Status.FromString(trailers[STATUS_DETAILS])


def unpacked(status: Status, kind: Any) -> Any:
    found = [detail for detail in status.details if detail.Is(kind.DESCRIPTOR)]
    if not found:
        return None
    message = kind()
    found[0].Unpack(message)
    return message


ERRORS: list[tuple[Exception, str, str]] = [
    (errors.InvalidField("type", "is empty"), "INVALID_ARGUMENT", "INVALID_FIELD"),
    (errors.InvalidField("cursor", "is bad", "MALFORMED_CURSOR"), "INVALID_ARGUMENT", "MALFORMED_CURSOR"),
    (errors.UnknownOperation("a"), "NOT_FOUND", "UNKNOWN"),
    (errors.PurgedOperation("a", 1_700_000_000_000_001), "NOT_FOUND", "PURGED"),
    (errors.RequestIdReused("r", "a"), "ALREADY_EXISTS", "REQUEST_ID_REUSED"),
    (errors.OperationIdTaken("a"), "ALREADY_EXISTS", "OPERATION_ID_TAKEN"),
    (errors.KeyPurged("request_id", "a", 0), "ALREADY_EXISTS", "PURGED"),
    (errors.UnknownType("a", known=()), "FAILED_PRECONDITION", "UNKNOWN_TYPE"),
    (errors.Unfinished("a"), "FAILED_PRECONDITION", "UNFINISHED"),
    (errors.StoreDown(), "UNAVAILABLE", "STORE_UNAVAILABLE"),
    (errors.Draining(), "UNAVAILABLE", "DRAINING"),
    (errors.SlowReader(timedelta(seconds=20)), "UNAVAILABLE", "SLOW_READER"),
    (errors.Interrupted(), "UNAVAILABLE", "INTERRUPTED"),
    (StoreUnavailable("secret host"), "UNAVAILABLE", "STORE_UNAVAILABLE"),
    (DataRefused("secret column"), "INVALID_ARGUMENT", "INVALID_DATA"),
]


@pytest.mark.parametrize("method", [UNARY, STREAM])
@pytest.mark.parametrize(("error", "code", "reason"), ERRORS, ids=[type(row[0]).__name__ for row in ERRORS])
async def test_an_error_becomes_a_rich_status(
    tiny: Tiny, error: Exception, code: str, reason: str, method: str
) -> None:
    answer = await tiny.fail(error, method)
    status = details(answer)
    info = unpacked(status, ErrorInfo)
    assert (code, reason, "rejoinder") == (answer.code().name, info.reason, info.domain)
    assert (answer.code().value[0], answer.details()) == (status.code, status.message)
    assert (answer.details() or "").endswith(f" ({reason})")
    assert "secret" not in str(status)
    assert (code == "INVALID_ARGUMENT") == (unpacked(status, BadRequest) is not None)
    assert (code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED")) == (unpacked(status, RetryInfo) is not None)
    assert await tiny.calls() == [(method, code)]


async def test_violations_and_their_message_arrive(tiny: Tiny) -> None:
    answer = await tiny.fail(errors.InvalidField("a", "is bad", others=[("b", "is bad too")]))
    bad_request = unpacked(details(answer), BadRequest)
    assert "a is bad; b is bad too (INVALID_FIELD)" == answer.details()
    assert [
        ("a", "is bad"),
        ("b", "is bad too"),
    ] == [(violation.field, violation.description) for violation in bad_request.field_violations]


async def test_the_wait_before_the_next_try_arrives(tiny: Tiny) -> None:
    answer = await tiny.fail(errors.Draining(timedelta(milliseconds=250)))
    assert timedelta(milliseconds=250) == unpacked(details(answer), RetryInfo).retry_delay.ToTimedelta()


async def test_metadata_arrives(tiny: Tiny) -> None:
    answer = await tiny.fail(errors.PurgedOperation("report-7", 1_700_000_000_000_001))
    assert {
        "operation_id": "report-7",
        "purged_time": "2023-11-14T22:13:20.000001Z",
    } == dict(unpacked(details(answer), ErrorInfo).metadata)


@pytest.mark.parametrize("method", [UNARY, STREAM])
async def test_the_worst_of_texts_still_arrives_as_a_status(tiny: Tiny, method: str) -> None:
    worst = [("\U0001f600" * 500, "\U0001f600" * 5000)] * 50
    answer = await tiny.fail(errors.InvalidField(*worst[0], others=worst[1:]), method)
    assert (
        grpc.StatusCode.INVALID_ARGUMENT,
        True,
    ) == (answer.code(), (answer.details() or "").endswith("(INVALID_FIELD)"))


@pytest.mark.parametrize("method", [UNARY, STREAM])
@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), TimeoutError("secret")])
async def test_whatever_else_is_hidden_and_logged(tiny: Tiny, error: Exception, method: str) -> None:
    with capture_logs() as logged:
        answer = await tiny.fail(error, method)
    [entry] = logged
    assert "INTERNAL" == answer.code().name
    assert f"internal error, see the server's log for id {entry['error_id']} (INTERNAL)" == answer.details()
    assert "secret" not in str(details(answer))
    assert ("error", True, method, 8) == (
        entry["log_level"],
        entry["exc_info"],
        entry["method"],
        len(entry["error_id"]),
    )


@pytest.mark.parametrize(("error", "level"), [(errors.UnknownOperation("a"), "info"), (errors.StoreDown(), "warning")])
async def test_a_refused_call_is_logged_at_the_level_of_whose_trouble_it_is(
    tiny: Tiny, error: Exception, level: str
) -> None:
    with capture_logs() as logged:
        await tiny.fail(error)
    assert [(level, UNARY, True)] == [
        (entry["log_level"], entry["method"], entry["peer"].startswith("ipv4:127.0.0.1")) for entry in logged
    ]


@pytest.mark.parametrize(("method", "expected"), [(UNARY, [b"done"]), (STREAM, [b"first"])])
async def test_success_passes(tiny: Tiny, method: str, expected: list[bytes]) -> None:
    assert (expected, [(method, "OK")]) == (await tiny.call(method), await tiny.calls())


@pytest.mark.parametrize("method", [UNARY, STREAM])
async def test_a_handlers_own_abort_passes(tiny: Tiny, method: str) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")
        return b"never"

    tiny.handle = handle
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tiny.call(method)
    assert (grpc.StatusCode.DATA_LOSS, "mine", [(method, "DATA_LOSS")]) == (
        caught.value.code(),
        caught.value.details(),
        await tiny.calls(),
    )


@pytest.mark.parametrize("method", [UNARY, STREAM])
async def test_a_cancelled_wait_inside_the_server_is_answered(tiny: Tiny, method: str) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        given_up: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        given_up.cancel()
        return await given_up

    tiny.handle = handle
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tiny.call(method)
    assert ("UNAVAILABLE", "INTERRUPTED") == (
        caught.value.code().name,
        unpacked(details(caught.value), ErrorInfo).reason,
    )


@pytest.mark.parametrize("method", [UNARY, STREAM])
async def test_a_callers_disconnect_ends_the_handler(tiny: Tiny, method: str) -> None:
    entered = asyncio.Event()

    async def handle(request: bytes, context: Any) -> bytes:
        entered.set()
        await asyncio.Event().wait()
        return b"never"

    tiny.handle = handle
    call = tiny.channel.unary_unary(UNARY)(b"") if method == UNARY else tiny.channel.unary_stream(STREAM)(b"")
    reading = asyncio.ensure_future(anext(aiter(call)) if method == STREAM else _result(call))
    async with asyncio.timeout(BOUND):
        await entered.wait()
        with capture_logs() as logged:
            call.cancel()
            await tiny.ended.wait()
        await asyncio.gather(reading, return_exceptions=True)
    assert ([(method, "CANCELLED")], []) == (tiny.observed, logged)


async def test_the_cancel_of_the_calls_task_is_raised_on_to_grpc(tiny: Tiny) -> None:
    entered = asyncio.Event()

    async def handle(request: bytes, context: Any) -> bytes:
        entered.set()
        await asyncio.Event().wait()
        return b"never"

    guarded = tiny.interceptor._guarded(UNARY, handle)
    task = asyncio.ensure_future(guarded(b"", None))
    async with asyncio.timeout(BOUND):
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


async def _result(call: Any) -> Any:
    return await call


async def test_a_callers_deadline_ends_the_handler(tiny: Tiny) -> None:
    async def handle(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return b"never"

    tiny.handle = handle
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tiny.channel.unary_unary(UNARY)(b"", timeout=0.1)
    async with asyncio.timeout(BOUND):
        await tiny.ended.wait()
    assert (grpc.StatusCode.DEADLINE_EXCEEDED, [(UNARY, "CANCELLED")]) == (caught.value.code(), tiny.observed)


async def test_an_unknown_method_stays_unknown(tiny: Tiny) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tiny.channel.unary_unary("/test.Tiny/Nothing")(b"")
    assert grpc.StatusCode.UNIMPLEMENTED == caught.value.code()


@pytest.mark.parametrize("request_bytes", [b"\xff\xff", b"\x0a\x01\xff"], ids=["corrupt", "not UTF-8"])
async def test_a_request_that_cannot_be_read_is_invalid(tiny: Tiny, request_bytes: bytes) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await tiny.channel.unary_unary("/grpc.health.v1.Health/Check")(request_bytes)
    status = details(caught.value)
    assert (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST",
    ) == (caught.value.code(), unpacked(status, ErrorInfo).reason)
    assert "pars" not in str(status)


async def test_health_checks_and_watches_pass(tiny: Tiny) -> None:
    stub = health_pb2_grpc.HealthStub(tiny.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=BOUND)
    serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    assert (serving, serving) == (await stub.Check(health_pb2.HealthCheckRequest()), await watch.read())
    watch.cancel()
    async with asyncio.timeout(BOUND):
        while len(tiny.observed) < 2:
            tiny.ended.clear()
            await tiny.ended.wait()


async def test_an_unknown_health_service_is_not_found(tiny: Tiny) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health_pb2_grpc.HealthStub(tiny.channel).Check(health_pb2.HealthCheckRequest(service="x"))
    assert grpc.StatusCode.NOT_FOUND == caught.value.code()


async def test_reflection_passes(tiny: Tiny) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(tiny.channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=BOUND)
    [answer] = [answer async for answer in call]
    assert [reflection.SERVICE_NAME] == [service.name for service in answer.list_services_response.service]


def test_every_error_of_the_tree_has_a_code() -> None:
    def leaves(kind: type) -> list[type]:
        below: list[type] = kind.__subclasses__()
        return [leaf for child in below for leaf in leaves(child)] if below else [kind]

    assert set(leaves(errors.ServiceError)) <= {type(error) for error, _, _ in ERRORS}


def test_an_error_of_no_family_is_internal() -> None:
    assert grpc.StatusCode.INTERNAL == code_of(errors.ServiceError("x", reason="X"))


def test_an_unknown_type_suggests_what_looks_alike() -> None:
    error = errors.UnknownType("report.generate", known=["mail.send", "reports.generate"])
    assert "did you mean reports.generate?" in status_of(error).message
    assert {"type": "report.generate", "suggestions": "reports.generate"} == error.metadata


def test_an_unknown_type_without_neighbours_points_to_the_list() -> None:
    assert "ListTypes" in errors.UnknownType("zzz", known=["mail.send"]).message


def test_at_most_ten_violations_are_kept() -> None:
    error = errors.InvalidField("a", "is bad", others=[("b", "is bad")] * 20)
    assert (10, "a is bad; b is bad; b is bad; and 18 more") == (len(error.violations), error.message)
