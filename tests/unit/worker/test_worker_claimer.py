"""When a worker process claims, and what becomes of tokens."""

import itertools
import random
from typing import Any

import pytest

from rejoinder.worker.v1.worker_pb2 import Claim, Fence, Grant, WorkerMessage
from rejoinder_broker.port import Kind
from rejoinder_worker.attempt import Attempt
from rejoinder_worker.claimer import Claimer
from rejoinder_worker.slots import Slots
from tests.support.manual_time import ManualTime
from tests.support.recording_broker import RecordingBroker

MAIL, REPORT = Kind("mail", "mail.send"), Kind("reports", "reports.generate")


class Handlers:
    """Passes what arrives on to a claimer."""

    def __init__(self, claimer: Claimer) -> None:
        self.claimer = claimer
        self.token = claimer.token

    def connected(self, connection_id: str) -> None:
        self.claimer.connected()

    def disconnected(self, detail: str) -> None:
        self.claimer.disconnected()

    def message(self, message: WorkerMessage) -> None:
        self.claimer.answered(message.claim_answer)

    def unreadable(self) -> None:
        raise AssertionError


class Claims:
    """A claimer with a recording broker and time that stands still."""

    def __init__(self, *, slots: int = 4, queues: dict[str, list[str]] | None = None) -> None:
        numbers = itertools.count(1)
        self.time = ManualTime()
        self.broker = RecordingBroker()
        self.slots = Slots(slots)
        self.has_room = True
        self.claimer = Claimer(
            self.broker,
            slots=self.slots,
            queues=queues or {"mail": ["mail.send"]},
            worker="worker-1",
            interval=5.0,
            clock=self.time,
            scheduler=self.time,
            new_id=lambda: f"claim-{next(numbers)}",
            randomness=random.Random(1),
            has_room=lambda: self.has_room,
        )

    async def start(self) -> None:
        """Connect, and have the first claims answered with nothing."""
        await self.broker.start(Handlers(self.claimer))
        self.time.advance()
        while (last := self.broker.claims[-1]) and self.slots.reserved:
            self.answer(last)

    def token(self, kind: Kind = MAIL) -> Any:
        token = self.broker.token(kind.queue, kind.type)
        self.time.advance()
        return token

    def answer(self, claim: Claim | None = None, *, granted: int = 0, more: bool = False) -> None:
        chosen = claim or self.broker.claims[-1]
        for _ in range(granted):
            assert self.claimer.take_slot(chosen.claim_id)
            self.slots.running.add(Attempt(Grant(fence=Fence()), leased_since=0))
        self.broker.answer(chosen, granted=granted, more=more)
        self.time.advance()

    def finish(self, count: int = 1) -> None:
        for _ in range(count):
            self.slots.running.pop()
        self.claimer.wake()
        self.time.advance()

    def since(self, before: int) -> list[tuple[str, int]]:
        return [(claim.queue, claim.free_slots) for claim in self.broker.claims[before:]]


@pytest.fixture
async def claims() -> Claims:
    made = Claims()
    await made.start()
    return made


async def test_a_token_makes_one_claim_for_all_free_slots(claims: Claims) -> None:
    before = len(claims.broker.claims)
    claims.token()
    claims.token()
    assert [("mail", 4)] == claims.since(before)


async def test_a_token_is_spent_when_no_work_remains(claims: Claims) -> None:
    token = claims.token()
    assert "held" == token.fate
    claims.answer(granted=1)
    assert "spent" == token.fate
    assert 3 == claims.slots.free


async def test_a_token_goes_back_when_work_remains(claims: Claims) -> None:
    token = claims.token()
    claims.answer(granted=4, more=True)
    assert "given back" == token.fate


async def test_a_token_that_comes_during_a_claim_makes_another_one(claims: Claims) -> None:
    claims.token()
    before = len(claims.broker.claims)
    second = claims.token()
    claims.answer(granted=1)
    assert [("mail", 3)] == claims.since(before)
    claims.answer()
    assert "spent" == second.fate


async def test_a_full_process_takes_no_tokens_and_gives_back_what_comes(claims: Claims) -> None:
    claims.token()
    waiting = claims.token()
    claims.answer(granted=4)
    assert "given back" == waiting.fate
    assert claims.broker.kinds[-1] == frozenset()
    assert "given back" == claims.token().fate


async def test_a_free_process_takes_tokens_of_all_its_kinds() -> None:
    claims = Claims(queues={"mail": ["mail.send"], "reports": ["reports.generate"]})
    await claims.start()
    assert {MAIL, REPORT} == claims.broker.kinds[-1]


async def test_claims_of_a_light_load_do_not_turn_the_consumers_off(claims: Claims) -> None:
    before = len(claims.broker.kinds)
    for _ in range(3):
        claims.token()
        claims.answer(granted=1)
    assert [] == claims.broker.kinds[before:]


async def test_a_saturated_process_claims_without_tokens_and_leaves_the_consumers_off(claims: Claims) -> None:
    claims.token()
    claims.answer(granted=4, more=True)
    consumed, before = len(claims.broker.kinds), len(claims.broker.claims)
    for _ in range(3):
        claims.finish()
        claims.answer(granted=1, more=True)
    assert [("mail", 1)] * 3 == claims.since(before)
    assert [] == claims.broker.kinds[consumed:]


async def test_slots_freed_in_one_turn_are_one_claim(claims: Claims) -> None:
    claims.token()
    claims.answer(granted=4, more=True)
    before = len(claims.broker.claims)
    claims.finish(3)
    assert [("mail", 3)] == claims.since(before)


async def test_a_process_without_more_work_takes_tokens_again_when_a_slot_is_freed(claims: Claims) -> None:
    claims.token()
    claims.answer(granted=4)
    before = len(claims.broker.claims)
    claims.finish()
    assert [] == claims.since(before)
    assert {MAIL} == claims.broker.kinds[-1]


async def test_an_unanswered_claim_is_sent_again_under_its_name(claims: Claims) -> None:
    claims.token()
    before = len(claims.broker.claims)
    sent = []
    for _ in range(4):
        claims.time.advance(2)
        sent.append(len(claims.broker.claims) - before)
    assert [1, 1, 2, 2] == sent  # after 2 s, and 4 s later
    assert claims.broker.claims[-1] == claims.broker.claims[before - 1]
    assert 1000.0 == claims.claimer.first_sent(claims.broker.claims[-1].claim_id)


async def test_a_claim_that_waited_too_long_is_replaced(claims: Claims) -> None:
    token = claims.token()
    old = claims.broker.claims[-1].claim_id
    claims.time.advance(10)
    new = claims.broker.claims[-1]
    assert (True, 4, "held") == (new.claim_id != old, new.free_slots, token.fate)
    claims.answer(new)
    assert "spent" == token.fate


async def test_every_queue_claims_unasked_in_turn() -> None:
    claims = Claims(queues={"mail": ["mail.send"], "reports": ["reports.generate"]})
    await claims.start()
    before = len(claims.broker.claims)
    claims.time.advance(5.5)
    claims.answer()
    claims.answer()
    assert [("mail", 4), ("reports", 4)] == sorted(claims.since(before))


async def test_a_queue_that_always_has_more_does_not_starve_another() -> None:
    claims = Claims(slots=1, queues={"mail": ["mail.send"], "reports": ["reports.generate"]})
    await claims.start()
    claims.token(MAIL)
    claims.answer(granted=1, more=True)
    claims.time.advance(5.5)  # both queues want to claim now, but the process is full
    before = len(claims.broker.claims)
    for _ in range(3):
        claims.finish()
        claims.answer(granted=1, more=True)
    assert [queue for queue, _ in claims.since(before)][:2] in (["mail", "reports"], ["reports", "mail"])


async def test_a_claim_that_gets_nothing_although_work_remains_lets_the_queue_rest(claims: Claims) -> None:
    token = claims.token()
    before = len(claims.broker.claims)
    claims.answer(granted=0, more=True)
    assert (token.fate, claims.since(before), claims.broker.kinds[-1]) == ("given back", [], frozenset())
    claims.time.advance(0.2)
    assert [("mail", 4)] == claims.since(before)


async def test_a_reconnect_claims_anew_and_forgets_the_claims_of_the_last_connection(claims: Claims) -> None:
    token = claims.token()
    before = len(claims.broker.claims)
    claims.broker.disconnect()
    assert 0 == claims.slots.reserved
    claims.broker.connect()
    claims.time.advance()
    assert [("mail", 4)] == claims.since(before)
    assert "connection-2" == claims.broker.claims[-1].connection_id
    assert "held" == token.fate  # it died with its connection


async def test_a_process_with_too_many_unconfirmed_reports_takes_no_work(claims: Claims) -> None:
    claims.has_room = False
    before = len(claims.broker.claims)
    assert "given back" == claims.token().fate
    claims.time.advance(6)
    assert [] == claims.since(before)
    claims.has_room = True
    claims.claimer.wake()
    claims.time.advance()
    assert [("mail", 4)] == claims.since(before)


async def test_a_token_for_a_process_with_too_many_unconfirmed_reports_ends_its_consumers(claims: Claims) -> None:
    claims.has_room = False
    claims.token()
    assert claims.broker.kinds[-1] == frozenset()


async def test_only_a_process_in_which_nothing_runs_claims_as_idle(claims: Claims) -> None:
    claims.token()
    assert claims.broker.claims[-1].idle
    claims.answer(granted=1)
    claims.token()
    assert not claims.broker.claims[-1].idle


async def test_a_stopped_claimer_gives_back_everything_and_claims_no_more(claims: Claims) -> None:
    claimed, waiting = claims.token(), claims.token()
    before = len(claims.broker.claims)
    claims.claimer.stop()
    claims.time.advance(10)
    assert ("given back", "given back") == (claimed.fate, waiting.fate)
    assert (claims.since(before), claims.broker.kinds[-1]) == ([], frozenset())
    assert claims.claimer.is_waiting
    claims.answer()
    assert not claims.claimer.is_waiting


async def test_a_grant_of_an_answered_claim_takes_a_free_slot_if_there_is_one(claims: Claims) -> None:
    claims.token()
    claims.answer(granted=3)
    assert claims.claimer.take_slot("claim-2")
    claims.token()  # reserves the last one
    assert not claims.claimer.take_slot("claim-2")
