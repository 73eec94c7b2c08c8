"""Answers workers' claims: the best due operations become RUNNING and are handed over."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import structlog

from rejoinder.worker.v1.worker_pb2 import Claim, ClaimAnswer, WorkerMessage
from rejoinder_broker import BrokerUnavailable, ServerBroker
from rejoinder_server.announcer import Announcer
from rejoinder_server.convert import grant_message
from rejoinder_server.editor import Editor
from rejoinder_server.lifecycle import Edit
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import Fence, Key, Operation
from rejoinder_server.store.port import ByKey, Due, Moment, StoreError, StoreUnavailable, Writes

log = structlog.get_logger(__name__)

MOST_GRANTS = 64
"""Most grants of one commit, whatever the claims ask for; the answer says that more remains."""

MOST_NAME_LENGTH = 255

REMEMBERED_CLAIMS = 10_000
"""Latest answered claims that are not answered again; a claim is sent again only for some seconds."""

REQUEST_TRIES = 3
REQUEST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What a claim is answered.

    Attributes:
        claim: The claim.
        granted: The operations as granted, with their requests.
        more: Whether due operations of the claim's types remain.
    """

    claim: Claim
    granted: Sequence[tuple[Operation, bytes]]
    more: bool


class Granter:
    """Turns claims into grants: one commit for all claims of a queue that came together."""

    def __init__(
        self,
        *,
        editor: Editor,
        broker: ServerBroker,
        announcer: Announcer,
        metrics: Metrics,
    ) -> None:
        self._editor = editor
        self._store = editor.store
        self._broker = broker
        self._announcer = announcer
        self._metrics = metrics
        self._answered: OrderedDict[str, None] = OrderedDict()

    async def answer(self, claims: Sequence[Claim]) -> None:
        """Answer claims, each once. One that fails here is sent again by its worker.

        Raises:
            StoreError: The claims of at least one queue are not answered.
        """
        failure: StoreError | None = None
        for group in _groups(self._new(self._valid(claims))):
            try:
                answers = await self._grant(group)
            except StoreError as error:
                failure = error
                continue
            await asyncio.gather(*map(self._send, answers))
        if failure is not None:
            raise failure

    def _new(self, claims: Iterable[Claim]) -> Iterator[Claim]:
        """Leave out what was answered: a claim that waited here too long has been sent again meanwhile."""
        for claim in claims:
            if claim.claim_id not in self._answered:
                yield claim

    def _valid(self, claims: Sequence[Claim]) -> Iterator[Claim]:
        for claim in {claim.claim_id: claim for claim in claims}.values():
            names = (claim.claim_id, claim.worker, claim.connection_id, claim.queue, *claim.types)
            if claim.types and claim.free_slots > 0 and all(map(_is_name, names)):
                yield claim
            else:
                self._metrics.claims.labels("invalid").inc()
                log.warning("claim is not valid", claim_id=claim.claim_id, worker=claim.worker)

    async def _grant(self, claims: Sequence[Claim]) -> list[Answer]:
        """Grant to claims of one queue and the same types."""
        wanted = min(sum(claim.free_slots for claim in claims), MOST_GRANTS)
        taken: list[list[Operation]] = []
        more = False

        def decide(due: Sequence[Operation], moment: Moment) -> Writes:
            nonlocal taken, more
            taken = [[] for _ in claims]
            more = len(due) > wanted
            writes = Writes()
            for operation, place in zip(due, _deal(claims), strict=False):
                edit = self._editor.begin(operation, moment)
                edit.grant(
                    worker=claims[place].worker,
                    connection_id=claims[place].connection_id,
                    watermark=moment.watermark,
                )
                taken[place].append(edit.operation)
                if change := edit.change():
                    writes.changes.append(change)
            return writes

        due = Due(claims[0].queue, sorted(set(claims[0].types)), wanted + 1)
        writes = await self._store.transact(due, decide)
        self._announcer.changed(writes.changes)
        request_of = await self._requests([operation for operations in taken for operation in operations])
        return [
            Answer(claim, [(operation, request_of[operation.uid]) for operation in operations], more)
            for claim, operations in zip(claims, taken, strict=True)
        ]

    async def _requests(self, granted: Sequence[Operation]) -> Mapping[str, bytes]:
        """Return the requests of operations that were just granted, by uid; without them the grants are released."""
        uids = [(operation.namespace, operation.uid) for operation in granted]
        for remaining in reversed(range(REQUEST_TRIES)):
            try:
                requests = await self._store.requests(uids)
            except StoreUnavailable:
                if remaining:
                    await asyncio.sleep(REQUEST_PAUSE_SECONDS)
                    continue
                await self._release([operation.fence for operation in granted])
                raise
            else:
                # A purge cannot have come between: a running operation is not purged.
                return {uid: request or b"" for (_, uid), request in zip(uids, requests, strict=True)}
        raise AssertionError("unreachable")

    async def _send(self, answer: Answer) -> None:
        """Hand over the grants, then the end of the answer, and take back what cannot be delivered."""
        claim = answer.claim
        messages = [
            WorkerMessage(grant=grant_message(operation, request, claim.claim_id, self._editor.rules.lease))
            for operation, request in answer.granted
        ]
        end = ClaimAnswer(claim_id=claim.claim_id, granted=len(messages), more=answer.more)
        fates = await asyncio.gather(
            *(self._broker.send(claim.connection_id, message) for message in messages),
            self._broker.send(claim.connection_id, WorkerMessage(claim_answer=end)),
            return_exceptions=True,
        )
        if fates[-1] is True:
            self._remember(claim.claim_id)
        self._metrics.claims.labels("granted" if messages else "empty").inc()
        lost: list[Fence] = []
        for (operation, _), fate in zip(answer.granted, fates, strict=False):
            if fate is True:
                self._metrics.grants.labels("sent").inc()
            elif fate is False:
                self._metrics.grants.labels("undeliverable").inc()
                lost.append(operation.fence)
            else:
                # It may still arrive; the worker's heartbeat or the lease decides.
                self._metrics.grants.labels("unknown").inc()
                if not isinstance(fate, BrokerUnavailable):
                    log.error("grant was not sent", operation_id=operation.operation_id, exc_info=fate)
        if lost:
            log.warning("worker is gone, its grants are released", worker=claim.worker, grants=len(lost))
            await self._release(lost)

    def _remember(self, claim_id: str) -> None:
        self._answered[claim_id] = None
        while len(self._answered) > REMEMBERED_CLAIMS:
            self._answered.popitem(last=False)

    async def _release(self, fences: Sequence[Fence]) -> None:
        current = {fence.uid: fence for fence in fences}

        def release(edit: Edit, _: Moment) -> None:
            fence = current.get(edit.operation.uid)
            if fence is not None and edit.is_current(fence):
                edit.release()

        keys = [Key(fence.namespace, fence.operation_id) for fence in fences]
        writes = await self._editor.each(ByKey(keys), release)
        self._announcer.changed(writes.changes)


def _is_name(text: str) -> bool:
    """Whether a store holds the text as a name: one that it does not would fail all claims that came together."""
    return 0 < len(text) <= MOST_NAME_LENGTH and text.isprintable()


def _groups(claims: Iterable[Claim]) -> Iterator[Sequence[Claim]]:
    def kind(claim: Claim) -> tuple[str, list[str]]:
        return claim.queue, sorted(set(claim.types))

    for _, group in groupby(sorted(claims, key=kind), kind):
        yield list(group)


def _deal(claims: Sequence[Claim]) -> Iterator[int]:
    """Deal places of claims round by round, each as often as it has free slots, so that load spreads."""
    left = [min(claim.free_slots, MOST_GRANTS) for claim in claims]
    total = 0
    while any(left) and total < MOST_GRANTS:
        for place, slots in enumerate(left):
            if slots and total < MOST_GRANTS:
                left[place] -= 1
                total += 1
                yield place
