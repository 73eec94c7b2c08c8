"""Asks for work: takes tokens while slots are free and sends claims.

The rules, for a process with T slots of which R run and C are reserved by claims under way:

- It begins to take tokens while T - R - C > 0, and stops when R = T. In between it goes on with what it does, so that
  the claims of a light load, and the handlers' ends of a heavy one, do not turn the consumers on and off.
- A token makes one claim for all free slots, for all types of its queue; of each queue one claim is under way at most.
  The token is held until the answer: if work remains it goes back for another worker, else it is spent. One that came
  while the claim was under way asks for a claim of its own: the claim may have been served before that work came.
- After an answer that work remains, a slot that becomes free claims at once, without a token.
- A claim that got nothing although work remains (work for idle processes only) lets its queue rest for a moment.
- Every queue also claims unasked, every few seconds and on each connection, which heals lost tokens.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rejoinder.worker.v1.worker_pb2 import Claim, ClaimAnswer
from rejoinder_broker.port import HeldToken, Kind, WorkerBroker
from rejoinder_worker.clock import Clock, Scheduler, Timer
from rejoinder_worker.slots import Slots

RESEND_SECONDS = 2.0
"""Wait until a claim is sent again for the first time; later ones are longer, lest a slow store be made slower."""
_LONGEST_RESEND_SECONDS = 4.0  # nor do workers wait much longer than servers that all were down
REST_SECONDS = 0.2
# Grants must begin within their lease of the claim's first sending. A claim that waited long, because every server was
# down, would bring grants that are late already; then a new one is worth more than the old one's name.
_MOST_SENDS = 3
_REMEMBERED = 1_000
_JITTER = 0.1


@dataclass(slots=True, eq=False)
class _Underway:
    """A claim that waits for its answer."""

    claim: Claim
    tokens: list[HeldToken]
    reserved: int
    sends: int = 1
    timer: Timer | None = None


@dataclass(slots=True, eq=False)
class _Queue:
    """What is known about one queue."""

    name: str
    types: tuple[str, ...]
    tokens: list[HeldToken] = field(default_factory=list)
    underway: _Underway | None = None
    is_asked: bool = False
    has_more: bool = False
    rest: Timer | None = None

    @property
    def wants_claim(self) -> bool:
        can = self.underway is None and self.rest is None
        return can and (self.is_asked or self.has_more or bool(self.tokens))

    @property
    def kinds(self) -> list[Kind]:
        return [Kind(queue=self.name, type=name) for name in self.types]


class Claimer:
    """Claims work for the free slots of a process; everything runs on the I/O loop.

    Args:
        broker: Brings tokens and takes claims.
        slots: The slots of the process.
        queues: Types by queue.
        worker: Name of the worker process.
        interval: Seconds between claims that nothing asked for.
        clock: Measures the age of claims.
        scheduler: The I/O loop.
        new_id: Makes the claims' names.
        randomness: Spreads the claims of many processes.
        has_room: Whether the process may take work as far as its reports are concerned.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        *,
        slots: Slots,
        queues: Mapping[str, Sequence[str]],
        worker: str,
        interval: float,
        clock: Clock,
        scheduler: Scheduler,
        new_id: Callable[[], str],
        randomness: random.Random,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._broker = broker
        self._slots = slots
        self._queues = {name: _Queue(name, tuple(types)) for name, types in queues.items()}
        self._worker = worker
        self._interval = interval
        self._clock = clock
        self._scheduler = scheduler
        self._new_id = new_id
        self._random = randomness
        self._has_room = has_room
        self._first_sent: OrderedDict[str, float] = OrderedDict()
        self._consumed: frozenset[Kind] = frozenset()
        self._turn: Timer | None = None
        self._unasked: Timer | None = None
        self.is_stopped = False

    def connected(self) -> None:
        """Claim on a new connection; what was under way on the last one, its tokens included, is gone with it."""
        for queue in self._queues.values():
            self._end_claim(queue)
            queue.tokens.clear()
            queue.is_asked = True
        if self._unasked is None and not self.is_stopped:
            self._wait_unasked()
        self.wake()

    def disconnected(self) -> None:
        """Forget what the lost connection held."""
        for queue in self._queues.values():
            self._end_claim(queue)
            queue.tokens.clear()

    def token(self, token: HeldToken) -> None:
        """Take a token."""
        queue = self._queues.get(token.kind.queue)
        if queue is None or not self._may_claim() or self._slots.is_full:
            token.give_back()
            # The look ends the consumers: else the broker would bring the token back at once, and again.
            self.wake()
            return
        queue.tokens.append(token)
        self.wake()

    def answered(self, answer: ClaimAnswer) -> None:
        """Take the end of a claim's grants."""
        queue = self._queue_of(answer.claim_id)
        if queue is None or queue.underway is None:
            return
        for token in queue.underway.tokens:
            if answer.more:
                token.give_back()
            else:
                token.spend()
        self._end_claim(queue)
        queue.has_more = answer.more
        if answer.more and not answer.granted and not self.is_stopped:
            queue.rest = self._scheduler.call_later(REST_SECONDS, self._rested, queue)
        self.wake()

    def first_sent(self, claim_id: str) -> float | None:
        """Boot time at which a claim was first sent; None when it is not remembered."""
        return self._first_sent.get(claim_id)

    def take_slot(self, claim_id: str) -> bool:
        """Take the slot that a claim has reserved for a grant, or any free one; False when there is none."""
        queue = self._queue_of(claim_id)
        if queue is not None and queue.underway is not None and queue.underway.reserved:
            queue.underway.reserved -= 1
            self._slots.reserved -= 1
        return self._slots.free > 0

    def wake(self) -> None:
        """Look again in the loop's next turn at what can be claimed; calls in one turn are one look."""
        if self._turn is None and not self.is_stopped:
            self._turn = self._scheduler.call_soon(self._look)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is under way, and grants with it."""
        return any(queue.underway is not None for queue in self._queues.values())

    def stop(self) -> None:
        """Claim no more and give back all tokens; answers to claims under way are still taken."""
        self.is_stopped = True
        for timer in (self._turn, self._unasked):
            if timer is not None:
                timer.cancel()
        for queue in self._queues.values():
            if queue.rest is not None:
                queue.rest.cancel()
            if queue.underway is not None:
                queue.tokens.extend(queue.underway.tokens)
                queue.underway.tokens = []
                if queue.underway.timer is not None:
                    queue.underway.timer.cancel()
            self._give_back(queue)
        self._consume(frozenset())

    def _may_claim(self) -> bool:
        return not self.is_stopped and self._broker.connection_id is not None and self._has_room()

    def _look(self) -> None:
        self._turn = None
        if not self._may_claim():
            if not self._has_room():
                self._pause()
            return
        for queue in list(self._queues.values()):
            if self._slots.free <= 0:
                break
            if queue.wants_claim:
                self._claim(queue)
                # Behind the others now, so that a queue that always has more does not starve them.
                self._queues[queue.name] = self._queues.pop(queue.name)
        if self._slots.is_full:
            self._pause()
        elif self._slots.free > 0 or self._consumed:
            self._consume(frozenset(kind for queue in self._queues.values() if not queue.rest for kind in queue.kinds))

    def _pause(self) -> None:
        for queue in self._queues.values():
            self._give_back(queue)
        self._consume(frozenset())

    def _consume(self, kinds: frozenset[Kind]) -> None:
        if kinds != self._consumed:
            self._consumed = kinds
            self._broker.consume(kinds)

    def _give_back(self, queue: _Queue) -> None:
        tokens, queue.tokens = queue.tokens, []
        for token in tokens:
            token.give_back()

    def _claim(self, queue: _Queue) -> None:
        free = self._slots.free
        claim = Claim(
            claim_id=self._new_id(),
            worker=self._worker,
            connection_id=self._broker.connection_id or "",
            queue=queue.name,
            types=queue.types,
            free_slots=free,
            idle=self._slots.is_idle,
        )
        queue.underway = _Underway(claim, queue.tokens, reserved=free)
        queue.tokens = []
        queue.is_asked = queue.has_more = False
        self._slots.reserved += free
        self._first_sent[claim.claim_id] = self._clock.boot_seconds()
        while len(self._first_sent) > _REMEMBERED:
            self._first_sent.popitem(last=False)
        self._send(queue, queue.underway)

    def _send(self, queue: _Queue, underway: _Underway) -> None:
        self._broker.claim(underway.claim)
        wait = min(RESEND_SECONDS * 2 ** (underway.sends - 1), _LONGEST_RESEND_SECONDS)
        underway.timer = self._scheduler.call_later(wait, self._unanswered, queue, underway)

    def _unanswered(self, queue: _Queue, underway: _Underway) -> None:
        if queue.underway is not underway:
            return
        if underway.sends < _MOST_SENDS:
            underway.sends += 1
            self._send(queue, underway)
            return
        queue.tokens.extend(underway.tokens)
        self._end_claim(queue)
        queue.is_asked = True
        self.wake()

    def _end_claim(self, queue: _Queue) -> None:
        underway, queue.underway = queue.underway, None
        if underway is not None:
            self._slots.reserved -= underway.reserved
            if underway.timer is not None:
                underway.timer.cancel()

    def _queue_of(self, claim_id: str) -> _Queue | None:
        for queue in self._queues.values():
            if queue.underway is not None and queue.underway.claim.claim_id == claim_id:
                return queue
        return None

    def _rested(self, queue: _Queue) -> None:
        queue.rest = None
        self.wake()

    def _wait_unasked(self) -> None:
        spread = self._random.uniform(1 - _JITTER, 1 + _JITTER)
        self._unasked = self._scheduler.call_later(self._interval * spread, self._claim_unasked)

    def _claim_unasked(self) -> None:
        for queue in self._queues.values():
            queue.is_asked = True
        self._wait_unasked()
        self.wake()
