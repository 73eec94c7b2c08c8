"""Runs async handlers on one loop in a thread of its own.

The loop is not the one that speaks to the broker: a handler that blocks it delays other async handlers, no
heartbeat.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

_LOOK_SECONDS = 0.25
_STOP_SECONDS = 2.0


class _Job:
    """One coroutine on the loop, waited for by one thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> None:
        self._coroutine = coroutine
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._is_cancelled = False
        self._escaped: BaseException | None = None
        self.done = threading.Event()

    def begin(self) -> None:
        self._task = self._loop.create_task(self._run())
        self._task.add_done_callback(self._ended)
        if self._is_cancelled:
            self._task.cancel()

    def cancel(self) -> None:
        # Once only: a second cancel would break into the clean-up that the first one began.
        if not self._is_cancelled:
            self._is_cancelled = True
            if self._task is not None:
                self._task.cancel()

    def result(self) -> Any:
        if self._escaped is not None:
            raise self._escaped
        if self._task is None:
            raise asyncio.CancelledError
        return self._task.result()

    async def _run(self) -> Any:
        try:
            return await self._coroutine
        except (SystemExit, KeyboardInterrupt) as error:
            # In a task these would end the loop, and all other async handlers with it.
            self._escaped = error

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._coroutine.close()  # begun or not: one that never began would warn
        if not task.cancelled():
            task.exception()
        self.done.set()


class CoroutineThread:
    """A thread with an event loop for async handlers."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="async-handlers", daemon=True)

    def start(self) -> None:
        """Begin to run coroutines."""
        self._thread.start()

    def stop(self) -> bool:
        """End the loop; False when a coroutine blocks it and it did not end in time."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        return not self._thread.is_alive()

    def run(self, coroutine: Coroutine[Any, Any, Any], *, on_cancel: Callable[[Callable[[], None]], None]) -> Any:
        """Run a coroutine and wait for its result in the calling thread.

        Args:
            coroutine: What to run.
            on_cancel: Given, before the coroutine begins, the function that cancels it from any thread.
        """
        job = _Job(coroutine, self._loop)
        on_cancel(lambda: self._call(job.cancel))
        self._call(job.begin)
        try:
            # In pieces, because an exception that the user's middleware throws into this thread (a time limit) does
            # not interrupt a wait.
            while not job.done.wait(_LOOK_SECONDS):
                pass
        except BaseException:
            self._call(job.cancel)
            job.done.wait(_LOOK_SECONDS)
            raise
        return job.result()

    def _call(self, function: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=_LOOK_SECONDS))
            self._loop.close()
