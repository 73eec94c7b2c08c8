"""How operations are handed to workers, and taken back."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from rejoinder.worker.v1.worker_pb2 import Claim
from rejoinder_broker import Kind
from rejoinder_server import failure, granter
from rejoinder_server.operation import SECOND, Key, State, Timeouts, TypeRecord, WorkerRecord
from rejoinder_server.store.port import ByKey, StoreUnavailable, Writes
from rejoinder_server.sweeper import BATCH
from tests.support.server_parts import CONNECTION, QUEUE, TYPE, WORKER, Parts, heartbeat, released, succeeded


async def test_the_best_go_first(parts: Parts) -> None:
    await parts.submit("early")
    parts.advance(1)
    await parts.submit("late")
    await parts.submit("urgent", priority=1)
    grants = await parts.grant(slots=3)
    assert ["urgent", "early", "late"] == [grant.fence.operation_id for grant in grants]


async def test_a_claim_is_answered_after_its_grants_with_whether_more_remains(parts: Parts) -> None:
    await parts.submit("a")
    await parts.submit("b")
    await parts.grant()
    connection, message = parts.broker.sent[-1]
    assert (CONNECTION, 1, True) == (connection, message.claim_answer.granted, message.claim_answer.more)


async def test_claims_that_come_together_share_the_work_evenly(parts: Parts) -> None:
    for index in range(4):
        await parts.submit(f"operation-{index}")
    claims = [
        Claim(claim_id=name, worker=name, connection_id=name, queue=QUEUE, types=[TYPE], free_slots=8)
        for name in ("worker-1", "worker-2")
    ]
    await parts.granter.answer(claims)
    to = [connection for connection, message in parts.broker.sent if message.HasField("grant")]
    assert ["worker-1", "worker-1", "worker-2", "worker-2"] == sorted(to)


async def test_a_grant_that_cannot_be_delivered_is_released_at_once(parts: Parts) -> None:
    parts.broker.gone.add(CONNECTION)
    await parts.submit("a")
    await parts.grant()
    operation = await parts.read("a")
    assert (State.ACCEPTED, 1, 0) == (operation.state, operation.attempt, operation.failures)


async def test_an_incomplete_claim_is_counted_and_harms_nothing(parts: Parts) -> None:
    await parts.submit("a")
    await parts.granter.answer([Claim(claim_id="claim", worker=WORKER)])
    assert 1 == parts.metrics.registry.get_sample_value("rejoinder_claims_total", {"answer": "invalid"})
    assert State.ACCEPTED == (await parts.read("a")).state


async def test_a_claim_that_was_answered_is_not_answered_again(parts: Parts) -> None:
    for name in ("a", "b"):
        await parts.submit(name)
    claim = Claim(claim_id="claim", worker=WORKER, connection_id=CONNECTION, queue=QUEUE, types=[TYPE], free_slots=1)
    for _ in range(3):
        await parts.granter.answer([claim])
    assert 1 == sum(message.HasField("grant") for _, message in parts.broker.sent)


async def test_a_claim_with_a_name_that_no_store_holds_stops_no_other(parts: Parts) -> None:
    await parts.submit("a")
    claims = [
        Claim(claim_id=worker, worker=worker, connection_id="c", queue=QUEUE, types=[TYPE], free_slots=1)
        for worker in ("x" * 10_000, "a\0b", WORKER)
    ]
    await parts.granter.answer(claims)
    assert WORKER == (await parts.read("a")).worker


async def test_grants_whose_requests_cannot_be_read_are_released(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    await parts.submit("a")

    async def requests(uids: object) -> list[bytes | None]:
        raise StoreUnavailable("away")

    monkeypatch.setattr(parts.store, "requests", requests)
    monkeypatch.setattr(granter, "REQUEST_PAUSE_SECONDS", 0)
    with pytest.raises(StoreUnavailable):
        await parts.grant()
    assert State.ACCEPTED == (await parts.read("a")).state


async def test_a_cancel_is_told_where_the_worker_is_connected_now(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([heartbeat(grant.fence, connection="connection-2", earlier=CONNECTION)])
    writes = await parts.editor.each(ByKey([Key("default", "a")]), lambda edit, _: edit.cancel("enough"))
    parts.announcer.changed(writes.changes, stop=True)
    await parts.announcer.close()
    told = {connection for connection, message in parts.broker.sent if message.stop.cancelled}
    assert {CONNECTION, "connection-2"} == told


async def test_an_attempt_whose_lease_has_lapsed_by_the_watermark_is_lost_and_granted_again(parts: Parts) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    await parts.submit("a")
    await parts.grant()
    await parts.keep_marking(35)
    await parts.sweeper.sweep()
    assert [failure.WORKER_LOST] == [change.reason for change in (await parts.history("a"))[2:]]
    [grant] = await parts.grant()
    assert 2 == grant.fence.attempt


async def test_no_attempt_is_lost_while_no_marker_is_recorded(parts: Parts) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    await parts.submit("a")
    await parts.grant()
    parts.advance(3600)
    await parts.sweeper.sweep()
    assert State.RUNNING == (await parts.read("a")).state


async def test_after_an_outage_a_worker_has_a_whole_lease_to_be_heard(parts: Parts) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    await parts.submit("a")
    [grant] = await parts.grant()
    parts.advance(3600)
    await parts.mark()
    await parts.keep_marking(25)
    await parts.sweeper.sweep()
    await parts.recorder.record([heartbeat(grant.fence)])
    await parts.keep_marking(20)
    await parts.sweeper.sweep()
    assert State.RUNNING == (await parts.read("a")).state


async def test_an_attempt_that_takes_too_long_fails_and_its_worker_is_told(parts: Parts) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    await parts.submit("a", timeouts=Timeouts(attempt=10 * SECOND))
    [grant] = await parts.grant()
    await parts.keep_marking(15)
    await parts.sweeper.sweep()
    await parts.announcer.close()
    operation = await parts.read("a")
    assert (State.ACCEPTED, 1) == (operation.state, operation.failures)
    assert [grant.fence] == list(parts.broker.sent[-1][1].stop.stale)


async def test_an_operation_that_no_worker_takes_in_time_is_timed_out(parts: Parts) -> None:
    await parts.submit("a", timeouts=Timeouts(queue=10 * SECOND))
    parts.advance(11)
    await parts.sweeper.sweep()
    operation = await parts.read("a")
    assert (State.TIMED_OUT, failure.QUEUE_TIMEOUT) == (operation.state, operation.error_reason)


async def test_a_terminal_operation_is_purged_after_its_retention_and_its_tombstone_later(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([succeeded(grant.fence)])
    parts.advance(61)
    await parts.sweeper.sweep()
    assert parts.now == (await parts.read("a")).purged_time
    parts.advance(parts.rules.tombstone_retention / SECOND + 1)
    await parts.sweeper.sweep()
    assert {} == {state: count for state, count in (await parts.store.counts()).items() if count}


async def test_a_worker_that_is_not_heard_of_for_a_lease_is_forgotten(parts: Parts) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    await parts.recorder.record([heartbeat()])
    await parts.keep_marking(35)
    await parts.sweeper.sweep()
    assert [] == await parts.store.workers()


async def announce(parts: Parts, queue: str) -> None:
    """Store the type as announced in this queue."""
    record = TypeRecord(name=TYPE, queue=queue, last_seen_time=parts.now)
    await parts.store.transact(ByKey([]), lambda _rows, _moment: Writes(types={TYPE: record}))


async def places(parts: Parts) -> dict[str, int]:
    """Return how many operations wait in which queue."""
    return {waiting.queue: waiting.count for waiting in await parts.store.waiting()}


async def test_what_waits_moves_to_the_new_queue_of_its_type_and_tokens_go_there(parts: Parts) -> None:
    before = await parts.submit("a")
    await announce(parts, "renamed")
    await parts.sweeper.move_astray()
    assert replace(before, queue="renamed") == await parts.read("a")
    assert [Kind("renamed", TYPE)] == parts.broker.tokens


async def test_a_move_is_no_submit_and_no_transition(parts: Parts) -> None:
    await parts.submit("a")
    await announce(parts, "renamed")
    await parts.sweeper.move_astray()
    assert parts.metrics.registry.get_sample_value("rejoinder_submitted_total", {"type": TYPE}) in (None, 0)
    assert ["SUBMITTED"] == [change.reason for change in await parts.history("a")]


async def test_more_than_a_batch_moves_at_once(parts: Parts) -> None:
    for index in range(2 * BATCH + 1):
        await parts.submit(f"operation-{index}")
    await announce(parts, "renamed")
    await parts.sweeper.move_astray()
    assert {"renamed": 2 * BATCH + 1} == await places(parts)


async def test_a_move_may_be_called_while_a_sweep_moves(parts: Parts) -> None:
    for index in range(2 * BATCH + 1):
        await parts.submit(f"operation-{index}")
    await announce(parts, "renamed")
    await asyncio.gather(parts.sweeper.sweep(), parts.sweeper.move_astray(), parts.sweeper.move_astray())
    assert {"renamed": 2 * BATCH + 1} == await places(parts)


async def test_a_move_follows_an_announcement_that_comes_while_it_moves(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(2 * BATCH):
        await parts.submit(f"operation-{index}")
    await announce(parts, "renamed")
    each = parts.editor.each

    async def each_with_news(*args: Any) -> Writes:
        writes = await each(*args)
        await announce(parts, "renamed-again")
        return writes

    monkeypatch.setattr(parts.editor, "each", each_with_news)
    await parts.sweeper.move_astray()
    assert {"renamed-again": 2 * BATCH} == await places(parts)


async def test_a_sweep_moves_what_comes_back_to_a_queue_that_was_renamed_meanwhile(parts: Parts) -> None:
    await announce(parts, QUEUE)
    await parts.submit("a")
    [grant] = await parts.grant()
    await announce(parts, "renamed")
    await parts.sweeper.sweep()
    await parts.recorder.record([released(grant.fence)])
    assert {QUEUE: 1} == await places(parts)
    await parts.sweeper.sweep()
    assert {"renamed": 1} == await places(parts)


async def test_a_sweep_moves_what_was_submitted_while_its_queue_was_renamed(parts: Parts) -> None:
    await announce(parts, QUEUE)
    await announce(parts, "renamed")
    await parts.sweeper.move_astray()
    await parts.submit("late")
    await parts.sweeper.sweep()
    assert {"renamed": 1} == await places(parts)


async def test_what_waits_for_later_moves_and_is_expected_then(parts: Parts) -> None:
    await parts.submit("a", due_time=parts.now + 10 * SECOND)
    await announce(parts, "renamed")
    await parts.sweeper.move_astray()
    assert ({"renamed": 1}, []) == (await places(parts), parts.broker.tokens)


async def test_a_worker_that_is_heard_of_while_it_is_given_up_stays(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    await parts.recorder.record([heartbeat()])
    await parts.keep_marking(35)
    read = parts.store.workers

    async def workers_then_heartbeat() -> list[WorkerRecord]:
        known = await read()
        await parts.recorder.record([heartbeat()])
        return known

    monkeypatch.setattr(parts.store, "workers", workers_then_heartbeat)
    await parts.sweeper.sweep()
    assert [WORKER] == [worker.worker for worker in await read()]


async def test_a_lease_from_a_clock_that_was_ahead_is_cut_to_a_whole_one(parts: Parts) -> None:
    await parts.submit("a")
    parts.advance(3600)
    await parts.grant()
    await parts.recorder.record([heartbeat()])
    parts.advance(-3600)
    await parts.sweeper.sweep()
    expected = parts.now + parts.rules.lease
    [worker] = await parts.store.workers()
    assert (expected, expected) == ((await parts.read("a")).lease_time, worker.lease_time)


async def test_a_lease_that_is_as_long_as_it_may_be_is_left(parts: Parts) -> None:
    await parts.submit("a")
    await parts.grant()
    running = await parts.read("a")
    await parts.sweeper.sweep()
    assert running == await parts.read("a")
