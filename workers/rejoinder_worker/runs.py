"""Runs granted attempts in worker threads, and reports how they end."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime

import dramatiq
import structlog
from dramatiq.middleware import Middleware

from rejoinder.worker.v1.worker_pb2 import Grant, Release, Success
from rejoinder_worker.attempt import Attempt, Ending, Stop
from rejoinder_worker.clock import Clock
from rejoinder_worker.context import Context
from rejoinder_worker.coroutines import CoroutineThread
from rejoinder_worker.decoding import decoder
from rejoinder_worker.execution import Execution, Routine
from rejoinder_worker.held import Held
from rejoinder_worker.plugin import GrantBroker
from rejoinder_worker.progress import ProgressFeed
from rejoinder_worker.registry import Handler
from rejoinder_worker.reporter import Reporter
from rejoinder_worker.slots import Slots

_THREADS_SECONDS = 2.0
# How often Dramatiq's idle threads look whether they should end.
_DRAMATIQ_LOOK_MILLISECONDS = 100

_logger = structlog.get_logger("rejoinder.worker")


class Runs:
    """The attempts that run in this process; its methods are called on the I/O loop.

    Args:
        handlers: What the process serves.
        middleware: The user's own Dramatiq middleware.
        worker: Name of the worker process.
        max_result_bytes: Longest result.
        slots: As many threads run as there are slots.
        held: Lets go of attempts whose end is confirmed.
        reporter: Sends progress and ends.
        clock: Reads time.
        loop: The I/O loop.

    Attributes:
        on_slot_free: Called when a handler has returned.

    Raises:
        RegistrationError: The type hint of a handler is of no use.
    """

    def __init__(
        self,
        handlers: Sequence[Handler],
        *,
        middleware: Sequence[Middleware],
        worker: str,
        max_result_bytes: int,
        slots: Slots,
        held: Held,
        reporter: Reporter,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.on_slot_free: Callable[[], None] = lambda: None
        self._worker = worker
        self._max_result_bytes = max_result_bytes
        self._slots = slots
        self._held = held
        self._reporter = reporter
        self._clock = clock
        self._loop = loop
        self._routines = routines(handlers)
        self._feeds: dict[Attempt, ProgressFeed] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._coroutines = CoroutineThread()
        self._dramatiq = GrantBroker(handlers, middleware=middleware)
        self._threads = dramatiq.Worker(
            self._dramatiq, worker_threads=slots.total, worker_timeout=_DRAMATIQ_LOOK_MILLISECONDS
        )

    def start_threads(self) -> None:
        """Start the threads that handlers run in."""
        self._coroutines.start()
        # Dramatiq's own command does this, which does not run here; time limits begin with it.
        self._dramatiq.emit_after("process_boot")
        self._threads.start()

    async def end_threads(self) -> bool:
        """End the threads; False when a handler did not let its thread end in time."""
        await asyncio.to_thread(self._threads.stop, int(_THREADS_SECONDS * 1000))
        return await asyncio.to_thread(self._coroutines.stop)

    async def until_quiet(self, timeout: float, *, hurry: asyncio.Event | None = None) -> None:
        """Wait until no handler runs of which an end is owed.

        Args:
            timeout: Longest wait in seconds.
            hurry: Ends the wait early.
        """
        waits = [asyncio.ensure_future(event.wait()) for event in (self._quiet, hurry) if event is not None]
        try:
            await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def tell_all_to_stop(self) -> None:
        """Tell all running handlers to stop because the process ends."""
        for attempt in list(self._slots.running):
            attempt.tell_to_stop(Stop.SHUTDOWN)

    def release_all(self) -> None:
        """Release what still runs; its handlers are zombies from now on."""
        for attempt in list(self._slots.running):
            self.release(attempt, "SHUTDOWN")

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in a worker thread."""
        self._slots.running.add(attempt)
        self._quiet.clear()
        feed = ProgressFeed(
            attempt,
            worker=self._worker,
            reporter=self._reporter,
            clock=self._clock,
            scheduler=self._loop,
            wake=self._on_loop,
        )
        execution = Execution(
            attempt,
            routine=self._routines[attempt.grant.type],
            context=_context(attempt, feed, self._deadline(attempt.grant)),
            worker=self._worker,
            clock=self._clock,
            coroutines=self._coroutines,
            max_result_bytes=self._max_result_bytes,
            finish=lambda execution, ending: self._on_loop(lambda: self._ended(execution, ending)),
        )
        self._feeds[attempt] = feed
        self._dramatiq.start(execution)

    def release(self, attempt: Attempt, reason: str) -> None:
        """Report an attempt as released."""
        self._report_end(attempt, Release(reason=reason))

    def fence(self, attempt: Attempt) -> None:
        """Make an attempt that is not current any more a zombie, of which nothing is reported."""
        if attempt in self._slots.running:
            _logger.warning("attempt fenced", operation_id=attempt.grant.fence.operation_id)
        attempt.tell_to_stop(Stop.FENCED)
        self._held.let_go(attempt)
        self._note_quiet()

    def _deadline(self, grant: Grant) -> datetime | None:
        if not grant.HasField("attempt_timeout"):
            return None
        try:
            return self._clock.now() + grant.attempt_timeout.ToTimedelta()
        except OverflowError:  # beyond the calendar
            return None

    def _ended(self, execution: Execution, ending: Ending) -> None:
        attempt = execution.attempt
        self._dramatiq.forget(execution)
        self._slots.running.discard(attempt)
        if attempt.stop is Stop.SHUTDOWN and not isinstance(ending, Success):
            ending = Release(reason="SHUTDOWN")
        self._report_end(attempt, ending)
        self._note_quiet()
        self.on_slot_free()

    def _report_end(self, attempt: Attempt, ending: Ending) -> None:
        feed = self._feeds.pop(attempt, None)
        if attempt.is_silent:
            return
        if feed is not None:
            feed.flush()
        attempt.is_over = True
        event = attempt.terminal_event(self._worker, ending)
        self._reporter.send(
            event, confirmed=lambda: self._held.let_go(attempt), is_wanted=lambda: not attempt.is_fenced
        )

    def _note_quiet(self) -> None:
        if all(attempt.is_silent for attempt in self._slots.running):
            self._quiet.set()

    def _on_loop(self, function: Callable[[], None]) -> None:
        # A zombie may return after the process's loop has closed; nobody waits for it then.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)


def routines(handlers: Sequence[Handler]) -> dict[str, Routine]:
    """Make handlers ready to run.

    Raises:
        RegistrationError: The type hint of a handler is of no use.
    """
    return {handler.type: Routine(handler, decoder(handler.function, type_name=handler.type)) for handler in handlers}


def _context(attempt: Attempt, feed: ProgressFeed, deadline: datetime | None) -> Context:
    grant = attempt.grant
    return Context(
        grant.fence.operation_id,
        attempt=grant.fence.attempt,
        correlation_id=grant.correlation_id,
        labels=grant.labels,
        headers=grant.headers,
        deadline=deadline,
        on_progress=feed.offer,
        told_to_stop=lambda: attempt.stop is not None,
    )
