"""The one place where errors become gRPC codes, and where what nobody foresaw is hidden from callers."""

import asyncio
import inspect
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from rejoinder_server.errors import (
    Interrupted,
    InvalidField,
    Missing,
    ServiceError,
    StoreDown,
    Taken,
    Unavailable,
    Unmet,
)
from rejoinder_server.failure import DOMAIN
from rejoinder_server.store.port import DataRefused, StoreError

Observe: TypeAlias = Callable[[str, str, float], None]
"""Takes a method's full name, the name of the code that its call ended with, and the seconds that it took."""

Behaviour: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

STATUS_DETAILS = "grpc-status-details-bin"

_CODES: Mapping[type[ServiceError], grpc.StatusCode] = {
    InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    Missing: grpc.StatusCode.NOT_FOUND,
    Taken: grpc.StatusCode.ALREADY_EXISTS,
    Unmet: grpc.StatusCode.FAILED_PRECONDITION,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    ServiceError: grpc.StatusCode.INTERNAL,
}

# A client drops a status whose trailers exceed 8 KiB. The message travels percent-encoded (up to three times as long),
# and once more inside the details, which travel in base64 (a third longer).
_MOST_MESSAGE_BYTES = 1_000
_MOST_DETAIL_BYTES = 3_000

log = structlog.get_logger(__name__)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Answers every error of a handler with a status that carries google.rpc details.

    Guards handlers that are coroutines: unary calls, and streams that call `context.write`. Others pass as they are.

    Args:
        observe: Is told of each call that ended.
        clock: Seconds that only grow.
    """

    def __init__(self, observe: Observe, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._observe = observe
        self._clock = clock

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler with the guard around it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        for kind, wrap in (
            ("unary_unary", grpc.unary_unary_rpc_method_handler),
            ("unary_stream", grpc.unary_stream_rpc_method_handler),
        ):
            behaviour = getattr(handler, kind, None)
            if inspect.iscoroutinefunction(behaviour):
                # The request is read inside the guard: gRPC would tell the caller its parser's error as UNKNOWN.
                reading = _reading(handler.request_deserializer, behaviour)
                return wrap(self._guarded(method, reading), response_serializer=handler.response_serializer)
        return handler

    def _guarded(self, method: str, behaviour: Behaviour) -> Behaviour:
        async def guarded(request: Any, context: Context) -> Any:
            started = self._clock()
            code = grpc.StatusCode.CANCELLED
            try:
                response = await _answer(method, behaviour, request, context)
            except grpc.aio.AbortError:
                code = context.code()
                raise
            else:
                code = context.code() or grpc.StatusCode.OK
                return response
            finally:
                self._observe(method, code.name, self._clock() - started)

        return guarded


def _reading(read: Callable[[bytes], Any] | None, behaviour: Behaviour) -> Behaviour:
    async def reading(request: bytes, context: Context) -> Any:
        try:
            message = request if read is None else read(request)
        except DecodeError as error:
            description = "the request cannot be read; send the contract's message, and texts as UTF-8"
            raise InvalidField("", description, "MALFORMED_REQUEST") from error
        return await behaviour(message, context)

    return reading


async def _answer(method: str, behaviour: Behaviour, request: Any, context: Context) -> Any:
    try:
        return await behaviour(request, context)
    except asyncio.CancelledError:
        # The task is cancelled when the peer is gone, and nobody else cancels it; gRPC needs to see that error. Without
        # a cancelled task the error came out of something that was awaited, and the peer still waits for its answer.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        await _abort(context, method, Interrupted())
    except grpc.aio.AbortError:
        raise
    except DataRefused as error:
        description = "the store cannot hold one of the request's values; send texts without NUL characters"
        await _abort(context, method, InvalidField("", description, "INVALID_DATA"), cause=str(error))
    except StoreError as error:
        await _abort(context, method, StoreDown(), cause=str(error))
    except ServiceError as error:
        await _abort(context, method, error)
    except Exception:
        error_id = secrets.token_hex(4)
        log.exception("call failed", method=method, code="INTERNAL", error_id=error_id, peer=context.peer())
        hidden = ServiceError(f"internal error, see the server's log for id {error_id}", reason="INTERNAL")
        await _send(context, hidden)


async def _abort(context: Context, method: str, error: ServiceError, *, cause: str = "") -> NoReturn:
    """Log the error at the level of whose trouble it is, and answer it."""
    tell = log.warning if isinstance(error, Unavailable) else log.info
    tell(
        "call refused",
        method=method,
        code=code_of(error).name,
        reason=error.reason,
        peer=context.peer(),
        **({"fields": [field for field, _ in error.violations]} if error.violations else {}),
        **({"cause": cause} if cause else {}),
    )
    await _send(context, error)


async def _send(context: Context, error: ServiceError) -> NoReturn:
    status = status_of(error)
    await context.abort(code_of(error), status.message, ((STATUS_DETAILS, status.SerializeToString()),))


def code_of(error: ServiceError) -> grpc.StatusCode:
    """Return the gRPC code of an error: that of the nearest class of the tree which has one."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def status_of(error: ServiceError) -> Any:
    """Return the error as `google.rpc.Status`, short enough to travel; of many violations the first ones stay."""
    violations = list(error.violations)
    while True:
        status = _status(error, violations)
        if status.ByteSize() <= _MOST_DETAIL_BYTES or not violations:
            return status
        violations.pop()


def _status(error: ServiceError, violations: list[tuple[str, str]]) -> Any:
    text = error.message.encode()[:_MOST_MESSAGE_BYTES].decode(errors="ignore")
    status = Status(code=code_of(error).value[0], message=f"{text} ({error.reason})")
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if violations:
        listed = [
            BadRequest.FieldViolation(field=field, description=description, reason=error.reason)
            for field, description in violations
        ]
        details.append(BadRequest(field_violations=listed))
    if error.retry_after is not None:
        retry_delay = Duration()
        retry_delay.FromTimedelta(error.retry_after)
        details.append(RetryInfo(retry_delay=retry_delay))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status
