"""Handlers for end-to-end tests; what they did can be read from a side-effect log, a file that the request names."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from rejoinder_worker import Cancelled, Context, PermanentError, handler
from tests.support.waiting import eventually, eventually_sync

_LONGEST_SECONDS = 3600


def _log(context: Context, request: dict[str, Any], what: str) -> None:
    """Append one line to the side-effect log, in one write so that processes do not mix."""
    if "log" in request:
        line = f"{context.operation_id} {context.attempt} {os.getpid()} {what}\n"
        descriptor = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def _await(context: Context, check: Callable[[], bool]) -> None:
    """Wait until something is so, or until the handler is told to stop."""

    def checked() -> bool:
        context.raise_if_cancelled()
        return check()

    eventually_sync(checked, timeout=_LONGEST_SECONDS)


@handler("test.echo", queue="test", description="Answers its request.")
def echo(context: Context, request: Any) -> Any:
    return request


@handler("test.work", queue="test", initial_backoff=timedelta(milliseconds=50))
def work(context: Context, request: dict[str, Any]) -> dict[str, Any]:
    """Take `seconds`, and say so in the log."""
    _log(context, request, "start")
    deadline = time.monotonic() + request.get("seconds", 0)
    _await(context, lambda: time.monotonic() >= deadline)
    _log(context, request, "end")
    return {"index": request.get("index")}


@handler("test.steps", queue="test")
def steps(context: Context, request: dict[str, Any]) -> int:
    """Report `steps` steps, each of which the test allows by making the file `gate`.N."""
    for index in range(1, request["steps"] + 1):
        _await(context, Path(f"{request['gate']}.{index}").exists)
        context.progress(index, total=request["steps"], unit="steps", message=f"step {index}")
    return int(request["steps"])


@handler("test.hold", queue="test")
def hold(context: Context, request: dict[str, Any]) -> str:
    """Run until the file `gate` exists, or until it is cancelled."""
    _log(context, request, "start")
    try:
        _await(context, Path(request["gate"]).exists)
    except Cancelled:
        _log(context, request, "stopped")
        raise
    return "released"


@handler("test.hold_async", queue="test")
async def hold_async(context: Context, request: dict[str, Any]) -> str:
    """Run until the file `gate` exists, or until it is cancelled."""
    _log(context, request, "start")
    await eventually(Path(request["gate"]).exists, timeout=_LONGEST_SECONDS)
    return "released"


@handler("test.stubborn", queue="test")
def stubborn(context: Context, request: dict[str, Any]) -> str:
    """Run until the file `gate` exists, cancelled or not."""
    _log(context, request, "start")
    eventually_sync(Path(request["gate"]).exists, timeout=_LONGEST_SECONDS)
    return "released"


@handler("test.context", queue="test")
def tell_context(context: Context, request: Any) -> dict[str, Any]:
    """Answer what the context tells."""
    return {
        "operation_id": context.operation_id,
        "attempt": context.attempt,
        "correlation_id": context.correlation_id,
        "labels": dict(context.labels),
        "headers": dict(context.headers),
        "has_deadline": context.deadline is not None,
    }


@handler("test.reverse", queue="test")
def reverse(context: Context, request: bytes) -> bytes:
    return request[::-1]


@handler("test.double", queue="test")
def double(context: Context, request: Duration) -> Duration:
    return Duration(seconds=2 * request.seconds)


@handler("test.flaky", queue="test", max_attempts=5, initial_backoff=timedelta(milliseconds=50))
def flaky(context: Context, request: dict[str, Any]) -> int:
    """Fail `failures` times, then answer the attempt."""
    if context.attempt <= request["failures"]:
        raise ValueError(f"attempt {context.attempt} fails")
    return context.attempt


@handler("test.fail", queue="test", max_attempts=2, initial_backoff=timedelta(milliseconds=50))
def fail(context: Context, request: Any) -> None:
    raise LookupError("it is not there")


@handler("test.fail_for_good", queue="test")
def fail_for_good(context: Context, request: Any) -> None:
    raise PermanentError("never like this")


@handler("test.unencodable", queue="test")
def unencodable(context: Context, request: Any) -> Any:
    return {"when": {"deep": object()}}


@handler("test.large", queue="test")
def large(context: Context, request: dict[str, Any]) -> bytes:
    return b"x" * int(request["bytes"])


@handler("test.nul_progress", queue="test", max_attempts=1)
def nul_progress(context: Context, request: Any) -> None:
    context.progress(1, message="a\0b")


@dataclass(frozen=True)
class Order:
    customer: str
    rows: int = 1


@handler("test.typed", queue="test")
def typed(context: Context, request: Order) -> str:
    return f"{request.rows} of {request.customer}"


class BrokenMessageError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@handler("test.ugly_error", queue="test", max_attempts=1)
def ugly_error(context: Context, request: Any) -> None:
    """Fail with a text that stores and terminals do not bear, or that is longer than any answer may be."""
    if request == "broken":
        raise BrokenMessageError
    raise ValueError("a\0\x1b[2J\ud800" + "x" * 1_000_000)


@handler("test.exit", queue="test", max_attempts=1)
def leave(context: Context, request: Any) -> None:
    raise SystemExit(3)
