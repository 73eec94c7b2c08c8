"""The run of one attempt in a worker thread."""

from collections.abc import Callable
from dataclasses import dataclass

from dramatiq.middleware import SkipMessage
from structlog.typing import FilteringBoundLogger

from rejoinder.worker.v1.worker_pb2 import Release, Success
from rejoinder_worker.attempt import Attempt, Ending, Stop
from rejoinder_worker.clock import Clock
from rejoinder_worker.context import Context
from rejoinder_worker.coroutines import CoroutineThread
from rejoinder_worker.decoding import Decode
from rejoinder_worker.encoding import encode
from rejoinder_worker.errors import Cancelled, PermanentError, RetryLater
from rejoinder_worker.failure import failure_of
from rejoinder_worker.registry import Handler


class NotStarted(SkipMessage):
    """The attempt must not start any more."""


class NotRun(Exception):
    """A middleware kept the handler from running."""


@dataclass(frozen=True, slots=True)
class Routine:
    """A handler made ready to run.

    Attributes:
        handler: The handler.
        decode: Turns a request into what its type hint asks for.
    """

    handler: Handler
    decode: Decode


class Execution:
    """The run of one attempt; used by one worker thread after the other, and ends exactly once.

    Args:
        attempt: The attempt.
        routine: What to run.
        context: What the handler knows.
        worker: Worker process.
        clock: Says whether it is too late to start.
        coroutines: Runs async handlers.
        max_result_bytes: Longest result.
        finish: Takes the end, in the worker thread.
    """

    __slots__ = (
        "_clock",
        "_context",
        "_coroutines",
        "_ending",
        "_finish",
        "_is_ended",
        "_max_result_bytes",
        "_routine",
        "_worker",
        "attempt",
    )

    def __init__(
        self,
        attempt: Attempt,
        *,
        routine: Routine,
        context: Context,
        worker: str,
        clock: Clock,
        coroutines: CoroutineThread,
        max_result_bytes: int,
        finish: Callable[["Execution", Ending], None],
    ) -> None:
        self.attempt = attempt
        self._routine = routine
        self._context = context
        self._worker = worker
        self._clock = clock
        self._coroutines = coroutines
        self._max_result_bytes = max_result_bytes
        self._finish = finish
        self._ending: Ending | None = None
        self._is_ended = False

    @property
    def queue(self) -> str:
        """The handler's queue, whatever the grant says: the type may just have moved to it."""
        return self._routine.handler.queue

    @property
    def arguments(self) -> tuple[str, int]:
        """What the Dramatiq message says; the request stays out of it, because Dramatiq logs arguments."""
        return self.attempt.grant.fence.uid, self.attempt.grant.fence.attempt

    def begin(self) -> None:
        """Begin now.

        Raises:
            NotStarted: It was told to stop before it began, or its lease may lapse soon.
        """
        if self.attempt.stop is Stop.CANCELLED:
            self._ending = self._failure(Cancelled("cancelled before the handler began"))
        elif self.attempt.stop is not None:
            self._ending = Release(reason="SHUTDOWN")
        elif self._clock.boot_seconds() > self.attempt.start_by:
            self._ending = Release(reason="LATE")
        else:
            return
        raise NotStarted(self._ending)

    def run(self) -> None:
        """Decode the request, call the handler, encode its answer."""
        request = self._routine.decode(self.attempt.grant.request)
        handler = self._routine.handler
        answer = handler.function(self._context, request)
        if handler.is_async:
            answer = self._coroutines.run(answer, on_cancel=self._on_stop)
        self._ending = Success(result=encode(answer, max_bytes=self._max_result_bytes))

    def end(self, error: BaseException | None) -> None:
        """End with an error, or with what `begin` or `run` left; only the first call counts.

        A later one comes when a time limit of the user's strikes in a hook: then the first end was reported already.
        """
        if self._is_ended:
            return
        self._is_ended = True
        if error is not None:
            self._ending = self._failure(error)
        elif self._ending is None:
            self._ending = self._failure(NotRun("a middleware kept the handler from running"))
        # Before the log, which formats the user's error: without an end the slot would never become free.
        self._finish(self, self._ending)
        if error is not None:
            self._log(error)

    def _on_stop(self, cancel: Callable[[], None]) -> None:
        self.attempt.on_stop = cancel
        # Read after `on_stop` is written: a stop that came before found nobody to call.
        if self.attempt.stop is not None:
            cancel()

    def _failure(self, error: BaseException) -> Ending:
        return failure_of(error, attempt=self.attempt.grant.fence.attempt, worker=self._worker)

    def _log(self, error: BaseException) -> None:
        logger = self._context.logger.bind(type=self.attempt.grant.type)
        if isinstance(error, PermanentError | RetryLater) or self.attempt.stop is not None:
            logger.info("handler failed", error=type(error).__name__)
        else:
            self._log_traceback(logger, error)

    def _log_traceback(self, logger: FilteringBoundLogger, error: BaseException) -> None:
        try:
            logger.error("handler failed", error=type(error).__name__, exc_info=error)
        except BaseException:  # noqa: BLE001 - whoever writes the traceback calls the user's __str__; the thread must live
            logger.error("handler failed", error=type(error).__name__)  # noqa: TRY400 - its traceback is what failed
