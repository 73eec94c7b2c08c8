"""What handlers raise to say how an attempt ends, and what is wrong with a worker's own set-up.

Errors:
    Exception
    ├── PermanentError          trying again cannot help
    │   ├── InvalidRequest      the request does not fit the handler's type hint
    │   ├── InvalidResult       the handler's answer cannot be encoded
    │   └── ResultTooLarge      the handler's answer is longer than the limit
    ├── RetryLater              try again, not before the given delay
    ├── Cancelled               the handler stopped because it was told to
    └── SetupError              the worker cannot start like this
        ├── RegistrationError   a handler or middleware is registered wrongly
        └── LoadError           a module with handlers cannot be used
"""

import re
from datetime import timedelta

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_REASON = re.compile(r"[^A-Z0-9]+")
_REASON_LENGTH = 63  # google.rpc.ErrorInfo's limit


def upper_snake(name: str) -> str:
    """Turn a class name or free text into an ErrorInfo reason, for example `ValueError` into `VALUE_ERROR`."""
    reason = _NOT_REASON.sub("_", _WORD_START.sub("_", name).upper()).strip("_")
    return reason[:_REASON_LENGTH].rstrip("_") or "ERROR"


class PermanentError(Exception):
    """Trying again cannot help; the operation becomes FAILED whatever its retry policy says.

    Args:
        message: What went wrong, for the caller.
        reason: What went wrong in UPPER_SNAKE, for programs; `PERMANENT_ERROR` when absent.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = upper_snake(reason or type(self).__name__)


class InvalidRequest(PermanentError):
    """The request does not fit the handler's type hint."""


class InvalidResult(PermanentError):
    """The handler's answer cannot be encoded."""


class ResultTooLarge(PermanentError):
    """The handler's answer is longer than the limit."""


class RetryLater(Exception):
    """The attempt failed, and the next one must not begin before the delay has passed.

    The attempt counts like any other failed one.

    Args:
        delay: Wait instead of the retry policy's backoff; not negative.
        message: Why, for the caller.

    Raises:
        ValueError: The delay is negative.
    """

    def __init__(self, delay: timedelta, message: str = "") -> None:
        if delay < timedelta(0):
            raise ValueError(f"RetryLater: the delay must not be negative, but it is {delay}")
        super().__init__(message or f"to be tried again in {delay}")
        self.delay = delay


class Cancelled(Exception):
    """The handler stopped because it was told to."""

    def __init__(self, message: str = "the handler was told to stop") -> None:
        super().__init__(message)


class SetupError(Exception):
    """The worker cannot start like this; the message is one line for the person who starts it."""


class RegistrationError(SetupError):
    """A handler or middleware is registered wrongly."""


class LoadError(SetupError):
    """A module with handlers cannot be used."""
