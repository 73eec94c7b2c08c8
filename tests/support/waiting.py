"""The one place in which tests wait: they poll to a deadline, and say what they waited for when it passes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

Answer = TypeVar("Answer")

_PAUSE_SECONDS = 0.01


async def eventually(check: Callable[[], Answer | Awaitable[Answer]], *, timeout: float = 10) -> Answer:
    """Call `check`, sync or async, until its answer is true, and return that answer.

    Raises:
        AssertionError: It was not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        answer: Answer = await found if isawaitable(found) else found
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: last answer {answer!r}")
        await asyncio.sleep(_PAUSE_SECONDS)


def eventually_sync(check: Callable[[], Answer], *, timeout: float = 10) -> Answer:
    """Call `check` until its answer is true, and return that answer.

    Raises:
        AssertionError: It was not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not (answer := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: last answer {answer!r}")
        time.sleep(_PAUSE_SECONDS)
    return answer
