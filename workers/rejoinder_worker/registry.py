"""Where handlers and the user's own Dramatiq middleware are registered."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from dramatiq.middleware import AgeLimit, Middleware, Pipelines, Retries

from rejoinder.v1.operation_pb2 import RetryPolicy, Timeouts
from rejoinder.worker.v1.worker_pb2 import TypeAnnouncement
from rejoinder_worker.errors import RegistrationError

_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_TYPE_LENGTH = 128
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_DESCRIPTION_LENGTH = 1024
# The servers' bounds: an announcement beyond them would be refused there, where nobody sees it who could mend it.
_LONGEST = timedelta(days=365)
_MOST_ATTEMPTS = 1000
_LARGEST_MULTIPLIER = 1000
# Retries, ages and follow-up messages belong to the server; these would send messages that no broker carries.
_REFUSED_MIDDLEWARE = (AgeLimit, Pipelines, Retries)

HandlerFunction = TypeVar("HandlerFunction", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Handler:
    """A function registered for a type.

    Attributes:
        type: Name of the work.
        queue: Queue of the type.
        function: The user's function of a context and a request, sync or async.
        description: For people.
        timeouts: Those that the handler sets.
        retry_policy: Those parts that the handler sets.
        options: Dramatiq actor options, for the user's own middleware.
    """

    type: str
    queue: str
    function: Callable[..., Any]
    description: str = ""
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.function)

    @property
    def place(self) -> str:
        """Where the function is defined, for messages to people."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def announcement(self) -> TypeAnnouncement:
        """Describe the type for the servers, with only those defaults that the handler sets."""
        announcement = TypeAnnouncement(name=self.type, queue=self.queue, description=self.description)
        if self.timeouts.ListFields():
            announcement.timeouts.CopyFrom(self.timeouts)
        if self.retry_policy.ListFields():
            announcement.retry_policy.CopyFrom(self.retry_policy)
        return announcement


class Registry:
    """Handlers by type, and the Dramatiq middleware that surrounds them."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._middleware: list[Middleware] = []

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """The handlers, by type in the order of the alphabet."""
        return tuple(self._handlers[name] for name in sorted(self._handlers))

    @property
    def added_middleware(self) -> tuple[Middleware, ...]:
        """The user's middleware, outermost first."""
        return tuple(self._middleware)

    def add(self, handler: Handler) -> None:
        """Register a handler.

        Raises:
            RegistrationError: Another function is registered for the type.
        """
        known = self._handlers.get(handler.type)
        if known is not None and known.function is not handler.function:
            raise RegistrationError(
                f"two handlers are registered for the type {handler.type!r}: {known.place} and {handler.place}"
            )
        self._handlers[handler.type] = handler

    def handler(
        self,
        type: str,
        *,
        queue: str = "default",
        description: str = "",
        queue_timeout: timedelta | None = None,
        attempt_timeout: timedelta | None = None,
        total_timeout: timedelta | None = None,
        max_attempts: int | None = None,
        initial_backoff: timedelta | None = None,
        backoff_multiplier: float | None = None,
        max_backoff: timedelta | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Callable[[HandlerFunction], HandlerFunction]:
        """Register the decorated function for a type; the function itself stays as it is.

        Args:
            type: Name of the work: words of a-z, 0-9 and _, joined by dots.
            queue: Queue of the type.
            description: For people who list the types; the docstring's first line when absent.
            queue_timeout: Longest time from due to the first grant.
            attempt_timeout: Longest time of one attempt.
            total_timeout: Longest time from accepted to the end.
            max_attempts: Attempts that may end in an error or a timeout.
            initial_backoff: Wait before the second attempt.
            backoff_multiplier: Factor from one wait to the next, at least 1.
            max_backoff: Longest wait.
            options: Dramatiq actor options that the user's own middleware reads.

        Raises:
            RegistrationError: A name or value is not valid, or the type has a handler already.
        """
        _check_names(type, queue)
        timeouts = _timeouts(type, queue=queue_timeout, attempt=attempt_timeout, total=total_timeout)
        policy = _retry_policy(
            type, attempts=max_attempts, initial=initial_backoff, multiplier=backoff_multiplier, longest=max_backoff
        )

        def register(function: HandlerFunction) -> HandlerFunction:
            _check_signature(type, function)
            summary = " ".join((description or (inspect.getdoc(function) or "").partition("\n")[0]).split())
            self.add(
                Handler(
                    type=type,
                    queue=queue,
                    function=function,
                    description=summary[:_DESCRIPTION_LENGTH],
                    timeouts=timeouts,
                    retry_policy=policy,
                    options=dict(options or {}),
                )
            )
            return function

        return register

    def middleware(self, instance: Middleware) -> None:
        """Put a Dramatiq middleware around all handlers of this registry's processes, inside those added before.

        Raises:
            RegistrationError: It is no middleware, or one whose work belongs to the server.
        """
        if not isinstance(instance, Middleware):
            raise RegistrationError(f"middleware() takes an instance of dramatiq.Middleware, not {instance!r}")
        if isinstance(instance, _REFUSED_MIDDLEWARE):
            raise RegistrationError(
                f"the middleware {type(instance).__name__} cannot be added: retries, ages and follow-up work are the "
                "server's"
            )
        self._middleware.append(instance)


def _check_names(type_name: str, queue: str) -> None:
    if len(type_name) > _TYPE_LENGTH or not _TYPE.fullmatch(type_name):
        raise RegistrationError(
            f"{type_name!r} is no valid type: it must be words of a-z, 0-9 and _ that begin with a letter, joined by "
            f"dots, at most {_TYPE_LENGTH} characters, for example 'reports.generate'"
        )
    if not _QUEUE.fullmatch(queue):
        raise RegistrationError(
            f"{queue!r} is no valid queue of the type {type_name!r}: it must be 1 to 63 of A-Z, a-z, 0-9, _ and -"
        )


def _check_signature(type_name: str, function: Callable[..., Any]) -> None:
    if not inspect.isfunction(function):
        raise RegistrationError(f"the handler of the type {type_name!r} must be a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RegistrationError(f"the handler of the type {type_name!r} must return its answer, not yield it")
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        raise RegistrationError(
            f"the handler of the type {type_name!r} must take a context and a request: {error}"
        ) from error


def _timeouts(
    type_name: str, *, queue: timedelta | None, attempt: timedelta | None, total: timedelta | None
) -> Timeouts:
    timeouts = Timeouts()
    for name, value in (("queue_timeout", queue), ("attempt_timeout", attempt), ("total_timeout", total)):
        if value is not None:
            getattr(timeouts, name).FromTimedelta(_positive(type_name, name, value))
    return timeouts


def _retry_policy(
    type_name: str,
    *,
    attempts: int | None,
    initial: timedelta | None,
    multiplier: float | None,
    longest: timedelta | None,
) -> RetryPolicy:
    policy = RetryPolicy()
    if attempts is not None:
        if isinstance(attempts, bool) or not isinstance(attempts, int) or not 1 <= attempts <= _MOST_ATTEMPTS:
            raise RegistrationError(
                f"max_attempts of the type {type_name!r} must be from 1 to {_MOST_ATTEMPTS}, not {attempts!r}"
            )
        policy.max_attempts = attempts
    if multiplier is not None:
        if not 1 <= multiplier <= _LARGEST_MULTIPLIER:
            raise RegistrationError(
                f"backoff_multiplier of the type {type_name!r} must be from 1 to {_LARGEST_MULTIPLIER}, "
                f"not {multiplier!r}"
            )
        policy.backoff_multiplier = multiplier
    for name, value in (("initial_backoff", initial), ("max_backoff", longest)):
        if value is not None:
            getattr(policy, name).FromTimedelta(_positive(type_name, name, value))
    return policy


def _positive(type_name: str, name: str, value: timedelta) -> timedelta:
    if not isinstance(value, timedelta) or not timedelta(0) < value <= _LONGEST:
        raise RegistrationError(
            f"{name} of the type {type_name!r} must be a timedelta above zero and up to {_LONGEST.days} days, "
            f"not {value!r}"
        )
    return value


DEFAULT_REGISTRY = Registry()
"""Takes what the decorators below register while modules are imported."""

handler = DEFAULT_REGISTRY.handler
middleware = DEFAULT_REGISTRY.middleware
