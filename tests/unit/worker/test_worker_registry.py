"""What users import and register, and what they are told when it is wrong."""

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import dramatiq.middleware
import pytest
from google.rpc import error_details_pb2

import rejoinder_worker
from rejoinder_worker import Cancelled, Context, PermanentError, RegistrationError, Registry, RetryLater
from rejoinder_worker.errors import upper_snake
from rejoinder_worker.failure import failure_of


def function(context: Any, request: Any) -> None:
    """Do nothing.

    At all.
    """


def test_the_public_names_are_these() -> None:
    assert [
        "Cancelled",
        "Context",
        "PermanentError",
        "RegistrationError",
        "Registry",
        "RetryLater",
        "handler",
        "middleware",
    ] == rejoinder_worker.__all__
    assert all(hasattr(rejoinder_worker, name) for name in rejoinder_worker.__all__)


def test_a_decorated_function_stays_the_function_that_it_was() -> None:
    assert Registry().handler("a")(function) is function


def test_a_handler_announces_what_it_sets_and_nothing_else() -> None:
    registry = Registry()
    registry.handler("plain")(function)
    registry.handler(
        "reports.generate",
        queue="reports",
        attempt_timeout=timedelta(minutes=30),
        max_attempts=5,
        backoff_multiplier=1.5,
        max_backoff=timedelta(milliseconds=1500),
    )(function)
    plain, report = (handler.announcement() for handler in registry.handlers)
    assert ("plain", "default", "Do nothing.") == (plain.name, plain.queue, plain.description)
    assert (False, False) == (plain.HasField("timeouts"), plain.HasField("retry_policy"))
    assert "reports" == report.queue
    assert [(field.name, value.ToTimedelta()) for field, value in report.timeouts.ListFields()] == [
        ("attempt_timeout", timedelta(minutes=30))
    ]
    assert (5, 1.5) == (report.retry_policy.max_attempts, report.retry_policy.backoff_multiplier)
    assert report.retry_policy.max_backoff.ToTimedelta() == timedelta(milliseconds=1500)
    assert not report.retry_policy.HasField("initial_backoff")


@pytest.mark.parametrize("name", ["", "A", "a..b", ".a", "a.", "1a", "a-b", "a b", "ä", "a\n", "a" * 129])
def test_a_bad_type_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(RegistrationError, match="is no valid type"):
        Registry().handler(name)


@pytest.mark.parametrize("queue", ["", "a.b", "a b", "a" * 64, "ä", "a\n"])
def test_a_bad_queue_is_refused(queue: str) -> None:
    with pytest.raises(RegistrationError, match="is no valid queue"):
        Registry().handler("a", queue=queue)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"queue_timeout": timedelta(0)}, "queue_timeout"),
        ({"attempt_timeout": timedelta(seconds=-1)}, "attempt_timeout"),
        ({"attempt_timeout": timedelta(days=366)}, "attempt_timeout"),
        ({"max_attempts": 1001}, "max_attempts"),
        ({"backoff_multiplier": 1001}, "backoff_multiplier"),
        ({"total_timeout": 30}, "total_timeout"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": True}, "max_attempts"),
        ({"initial_backoff": timedelta(0)}, "initial_backoff"),
        ({"backoff_multiplier": 0.9}, "backoff_multiplier"),
        ({"backoff_multiplier": float("nan")}, "backoff_multiplier"),
        ({"max_backoff": timedelta(0)}, "max_backoff"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], name: str) -> None:
    with pytest.raises(RegistrationError, match=f"^{name} of the type 'a'"):
        Registry().handler("a", **options)


def generator(context: Any, request: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: None, "must take a context and a request"),
        (lambda a, b, c: None, "must take a context and a request"),
        (generator, "must return its answer, not yield it"),
        (Context, "must be a function"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused(bad: Callable[..., Any], message: str) -> None:
    with pytest.raises(RegistrationError, match=message):
        Registry().handler("a")(bad)


def test_two_handlers_of_one_type_are_refused_with_their_places() -> None:
    registry = Registry()
    registry.handler("a")(function)
    registry.handler("a")(function)  # the same one: a module that is imported again
    with pytest.raises(RegistrationError, match=r"two handlers .* 'a': .*function and .*lambda"):
        registry.handler("a")(lambda context, gen: None)


@pytest.mark.parametrize("instance", [dramatiq.middleware.Retries(), dramatiq.middleware.AgeLimit(), object()])
def test_middleware_whose_work_is_the_servers_is_refused(instance: Any) -> None:
    with pytest.raises(RegistrationError):
        Registry().middleware(instance)


def test_a_handler_can_be_tested_with_a_context_of_ones_own() -> None:
    reported: list[Any] = []
    context = Context("operation-1", on_progress=reported.append, told_to_stop=lambda: True)
    context.progress(1, total=2, unit="rows", message="one")
    assert (1, 2, "rows", "one") == (reported[0].completed, reported[0].total, reported[0].unit, reported[0].message)
    assert ("operation-1", True, False) == (context.correlation_id, context.cancelled, Context("a").cancelled)
    Context("a").progress(1)
    with pytest.raises(Cancelled):
        context.raise_if_cancelled()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"completed": -1}, ValueError, "completed must be from 0 to"),
        ({"completed": 2**63}, ValueError, "completed must be from 0 to"),
        ({"completed": 1.5}, TypeError, "completed must be an int"),
        ({"completed": True}, TypeError, "completed must be an int"),
        ({"completed": 1, "total": -1}, ValueError, "total must be from 0 to"),
        ({"completed": 1, "unit": "x" * 33}, ValueError, "unit must have at most 32 characters, not 33"),
        ({"completed": 1, "message": "x" * 513}, ValueError, "message must have at most 512 characters, not 513"),
        ({"completed": 1, "message": "a\0"}, ValueError, "message must not contain control characters"),
        ({"completed": 1, "message": "a\nb"}, ValueError, "message must not contain control characters"),
        ({"completed": 1, "message": "\ud800"}, ValueError, "message must not contain control characters"),
        ({"completed": 1, "unit": 3}, TypeError, "unit must be a str"),
    ],
)
def test_progress_names_what_is_wrong_with_it(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^progress: {message}"):
        Context("a").progress(**arguments)


def test_progress_may_exceed_its_total() -> None:
    Context("a").progress(3, total=2)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ValueError", "VALUE_ERROR"),
        ("HTTPError", "HTTP_ERROR"),
        ("OSError", "OS_ERROR"),
        ("S3Missing", "S3_MISSING"),
        ("quota exceeded", "QUOTA_EXCEEDED"),
        ("_Private", "PRIVATE"),
        ("Ä", "ERROR"),
        ("a" * 80, "A" * 63),
    ],
)
def test_names_become_reasons(name: str, reason: str) -> None:
    assert upper_snake(name) == reason


class SilentError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "reason", "code", "message"),
    [
        (KeyError("x"), "KEY_ERROR", 2, "'x'"),
        (ValueError(), "VALUE_ERROR", 2, "ValueError"),
        (PermanentError("no"), "PERMANENT_ERROR", 2, "no"),
        (PermanentError("no", "no-such"), "NO_SUCH", 2, "no"),
        (RetryLater(timedelta(seconds=5)), "RETRY_LATER", 2, "to be tried again in 0:00:05"),
        (asyncio.CancelledError(), "CANCELLED", 1, "the handler was told to stop"),
        (ValueError("a\0\x1b[31m\ud800\n"), "VALUE_ERROR", 2, "a\ufffd\ufffd[31m\ufffd\n"),
        (ValueError("x" * 5000), "VALUE_ERROR", 2, "x" * 4096),
        (SilentError(), "SILENT_ERROR", 2, "SilentError"),
    ],
)
def test_errors_become_statuses(error: BaseException, reason: str, code: int, message: str) -> None:
    failure = failure_of(error, attempt=2, worker="w")
    info = error_details_pb2.ErrorInfo()
    failure.error.details[0].Unpack(info)
    assert (info.reason, failure.error.code, failure.error.message) == (reason, code, message)
    failure.SerializeToString()


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        RetryLater(timedelta(seconds=-1))


def test_the_echo_handler_answers_with_its_request() -> None:
    from rejoinder_worker.echo import echo

    assert {"b": 1} == echo(Context("a"), {"b": 1})
    assert inspect.isfunction(echo)
