"""Decides what becomes of a grant that arrives."""

from collections.abc import Callable, Collection

import structlog

from rejoinder.worker.v1.worker_pb2 import Grant
from rejoinder_worker.attempt import Attempt, Stop
from rejoinder_worker.claimer import Claimer
from rejoinder_worker.clock import Clock
from rejoinder_worker.held import Held

_logger = structlog.get_logger("rejoinder.worker")


class Intake:
    """Starts a grant or releases it; a fence that was seen before is passed over.

    Args:
        claimer: Has the slots that claims reserved, and knows when they were sent.
        held: Takes every grant, since its end must be reported whatever it is.
        types: Types that the process can run.
        clock: Says whether a grant is too old.
        start: Runs an attempt.
        release: Reports an attempt as released, with the reason.
    """

    def __init__(
        self,
        *,
        claimer: Claimer,
        held: Held,
        types: Collection[str],
        clock: Clock,
        start: Callable[[Attempt], None],
        release: Callable[[Attempt, str], None],
    ) -> None:
        self._claimer = claimer
        self._held = held
        self._types = types
        self._clock = clock
        self._start = start
        self._release = release

    def take(self, grant: Grant) -> None:
        """Take a grant."""
        sent_at = self._claimer.first_sent(grant.claim_id)
        # Of a claim that is not remembered nobody can say how old it is.
        attempt = Attempt(grant, leased_since=float("-inf") if sent_at is None else sent_at)
        has_slot = self._claimer.take_slot(grant.claim_id)
        if not self._held.add(attempt):
            return
        stop = self._held.take_early_stop(attempt.key)
        if stop is Stop.FENCED:
            # It is not current any more, so nothing about it is reported.
            self._held.let_go(attempt)
            return
        # The end of an operation whose cancel was asked for is its cancel, also when it is a release.
        reason = "CANCELLED" if stop is Stop.CANCELLED else self._refusal(attempt, has_slot=has_slot)
        if reason is None:
            self._start(attempt)
        else:
            _logger.info("grant released", operation_id=grant.fence.operation_id, reason=reason)
            self._release(attempt, reason)

    def _refusal(self, attempt: Attempt, *, has_slot: bool) -> str | None:
        if self._claimer.is_stopped:
            return "SHUTDOWN"
        if attempt.grant.type not in self._types:
            return "UNKNOWN_TYPE"
        if not has_slot:
            return "SURPLUS"
        if self._clock.boot_seconds() > attempt.start_by:
            return "LATE"
        return None
