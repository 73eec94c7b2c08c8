"""What the recorder makes of events."""

from collections.abc import Sequence

import pytest

from rejoinder_server import failure, report
from rejoinder_server.operation import SECOND, Key, Operation, State
from rejoinder_server.store.port import ByKey, DataRefused, Decide, Moment, Selection, Writes
from tests.support.server_parts import (
    CONNECTION,
    MARKER_INTERVAL,
    WORKER,
    Parts,
    died,
    failed,
    heartbeat,
    marker,
    progressed,
    released,
    succeeded,
)


async def test_progress_between_transitions_is_folded_to_the_latest(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([progressed(grant.fence, 1, 10), progressed(grant.fence, 2, 20)])
    operation = await parts.read("a")
    assert (3, 3, 2) == (operation.revision, operation.progress_revision, operation.reported)


async def test_progress_is_written_before_the_end_that_follows_it(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([progressed(grant.fence, 1, 10), succeeded(grant.fence, 2)])
    operation = await parts.read("a")
    assert (State.SUCCEEDED, 4, 3) == (operation.state, operation.revision, operation.progress_revision)


async def test_the_first_end_of_an_attempt_wins(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([succeeded(grant.fence, 1), failed(grant.fence, 2, permanent=True)])
    await parts.recorder.record([failed(grant.fence, 3, permanent=True)])
    assert State.SUCCEEDED == (await parts.read("a")).state
    assert 2 == parts.metrics.registry.get_sample_value("rejoinder_late_reports_dropped_total")


async def test_a_report_that_comes_twice_counts_once(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    for _ in range(2):
        await parts.recorder.record([failed(grant.fence, 1)])
    assert 1 == (await parts.read("a")).failures


async def test_a_report_of_an_earlier_attempt_changes_nothing(parts: Parts) -> None:
    await parts.submit("a")
    [first] = await parts.grant()
    await parts.recorder.record([released(first.fence)])
    await parts.grant()
    await parts.recorder.record([succeeded(first.fence, 9)])
    operation = await parts.read("a")
    assert (State.RUNNING, 2) == (operation.state, operation.attempt)


async def test_a_released_attempt_counts_towards_nothing_and_is_offered_again(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([released(grant.fence)])
    operation = await parts.read("a")
    assert (State.ACCEPTED, 0, 1) == (operation.state, operation.failures, len(parts.broker.tokens))


async def test_a_heartbeat_extends_the_leases_of_what_it_lists_without_a_visible_change(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    parts.advance(20)
    await parts.recorder.record([heartbeat(grant.fence)])
    operation = await parts.read("a")
    assert (parts.now + parts.rules.lease, 2) == (operation.lease_time, operation.revision)


async def test_a_heartbeat_is_answered_with_what_is_stale_and_what_is_cancelled(parts: Parts) -> None:
    await parts.submit("stale")
    [stale] = await parts.grant()
    await parts.recorder.record([released(stale.fence)])
    await parts.grant(worker="worker-2", connection="connection-2")
    await parts.submit("cancelled")
    [cancelled] = await parts.grant()
    await parts.editor.each(named("cancelled"), lambda edit, _: edit.cancel("enough"))
    await parts.recorder.record([heartbeat(stale.fence, cancelled.fence)])
    await parts.announcer.close()
    connection, message = parts.broker.sent[-1]
    answer = message.heartbeat_answer
    assert (CONNECTION, [stale.fence], [cancelled.fence]) == (connection, list(answer.stale), list(answer.cancelled))


async def test_a_new_connections_heartbeat_releases_grants_to_earlier_ones_that_it_does_not_list(parts: Parts) -> None:
    await parts.submit("held")
    await parts.submit("lost")
    held, _ = await parts.grant(slots=2)
    await parts.recorder.record([heartbeat(held.fence, connection="connection-2", earlier=CONNECTION)])
    assert [State.RUNNING, State.ACCEPTED] == [(await parts.read(name)).state for name in ("held", "lost")]


async def test_a_heartbeat_of_an_earlier_connection_releases_nothing_of_the_next_one(parts: Parts) -> None:
    await parts.submit("a")
    await parts.grant(connection="connection-2")
    await parts.recorder.record([heartbeat(connection=CONNECTION)])
    assert State.RUNNING == (await parts.read("a")).state


async def test_a_leaving_process_releases_what_it_does_not_hold_and_is_forgotten(parts: Parts) -> None:
    await parts.submit("a")
    await parts.grant()
    await parts.recorder.record([heartbeat(), heartbeat(leaving=True)])
    assert (State.ACCEPTED, []) == ((await parts.read("a")).state, await parts.store.workers())


async def test_a_dead_process_is_forgotten_and_its_leases_end_with_the_marker_after_next(parts: Parts) -> None:
    await parts.mark()
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([heartbeat(grant.fence), died()])
    operation = await parts.read("a")
    assert (parts.now + 2 * MARKER_INTERVAL, []) == (operation.lease_time, await parts.store.workers())


async def test_the_last_reports_of_a_dead_process_still_count(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([died(), succeeded(grant.fence)])
    assert State.SUCCEEDED == (await parts.read("a")).state


async def test_markers_move_the_watermark_forward_only(parts: Parts) -> None:
    await parts.recorder.record([marker(parts.now), marker(parts.now - SECOND)])
    assert parts.now == (await parts.store.watermark()).time


async def test_after_a_gap_between_markers_nothing_is_judged_for_a_whole_lease(parts: Parts) -> None:
    await parts.mark()
    await parts.keep_marking(60)
    assert (await parts.store.watermark()).judge_from < parts.now
    parts.advance(11)
    await parts.mark()
    assert parts.now + parts.rules.lease == (await parts.store.watermark()).judge_from


async def test_an_invalid_report_fails_its_attempt_and_stops_nothing_else(parts: Parts) -> None:
    await parts.submit("bad")
    await parts.submit("good")
    bad, good = await parts.grant(slots=2)
    refused = await parts.recorder.record([progressed(bad.fence, 1, 1, "a\0b"), succeeded(good.fence)])
    [refusal] = refused
    assert (0, True) == (refusal.index, refusal.reason.startswith("progress.message is 'a\\x00b'; it takes no control"))
    operation = await parts.read("bad")
    assert (State.FAILED, failure.INVALID_REPORT) == (operation.state, operation.error_reason)
    assert State.SUCCEEDED == (await parts.read("good")).state


async def test_a_report_that_the_store_refuses_is_found_among_a_hundred(parts: Parts) -> None:
    for index in range(100):
        await parts.submit(f"operation-{index}")
    grants = [grant for _ in range(2) for grant in await parts.grant(slots=50)]
    parts.editor.store = Refusing(parts.store, Key("default", "operation-37"))  # type: ignore[assignment]
    order = [grant.fence.operation_id for grant in grants]
    refused = await parts.recorder.record([succeeded(grant.fence) for grant in grants])
    assert [order.index("operation-37")] == [event.index for event in refused]
    states = [(await parts.read(f"operation-{index}")).state for index in range(100)]
    assert [State.FAILED if index == 37 else State.SUCCEEDED for index in range(100)] == states


async def test_an_event_that_no_rule_foresaw_stops_nothing_else(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("odd", "good"):
        await parts.submit(name)
    good, odd = await parts.grant(slots=2)

    def check(message: object, limit: int) -> None:
        if getattr(message, "fence", None) == odd.fence:
            raise ZeroDivisionError

    monkeypatch.setattr(report, "check", check)
    refused = await parts.recorder.record([succeeded(odd.fence), succeeded(good.fence)])
    assert [0] == [event.index for event in refused]
    assert [State.FAILED, State.SUCCEEDED] == [(await parts.read(name)).state for name in ("odd", "good")]


async def test_an_error_whose_details_cannot_be_read_is_recorded_without_a_reason(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    event = failed(grant.fence, permanent=True)
    event.failed.error.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    assert [] == await parts.recorder.record([event])
    operation = await parts.read("a")
    assert (State.FAILED, "") == (operation.state, operation.error_reason)


async def test_a_store_clock_that_was_set_back_is_judged_by_again_after_a_lease(parts: Parts) -> None:
    parts.advance(3600)
    await parts.mark()
    parts.advance(-3600)
    await parts.mark()
    watermark = await parts.store.watermark()
    assert (parts.now, parts.now + parts.rules.lease) == (watermark.time, watermark.judge_from)


async def test_any_end_but_success_is_cancelled_once_that_was_asked_for(parts: Parts) -> None:
    for name in ("fails", "succeeds"):
        await parts.submit(name)
    fails, succeeds = await parts.grant(slots=2)
    await parts.editor.each(named("fails", "succeeds"), lambda edit, _: edit.cancel("enough"))
    await parts.recorder.record([failed(fails.fence), succeeded(succeeds.fence)])
    assert [State.CANCELLED, State.SUCCEEDED] == [(await parts.read(name)).state for name in ("fails", "succeeds")]


async def test_recorded_changes_are_announced_to_every_server(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([succeeded(grant.fence)])
    assert ["a"] == [changed.operation_id for changed in parts.broker.announced[-1].operations]


async def test_a_worker_is_known_from_its_heartbeat(parts: Parts) -> None:
    await parts.recorder.record([heartbeat()])
    [worker] = await parts.store.workers()
    assert (WORKER, CONNECTION, 1, 2) == (worker.worker, worker.connection_id, worker.free_slots, worker.total_slots)


def named(*operation_ids: str) -> Selection:
    return ByKey([Key("default", name) for name in operation_ids])


class Refusing:
    """A store that cannot hold the success of one operation."""

    def __init__(self, store: object, key: Key) -> None:
        self._store = store
        self._key = key

    async def transact(self, selection: Selection, decide: Decide) -> Writes:
        def guarded(rows: Sequence[Operation], moment: Moment) -> Writes:
            writes = decide(rows, moment)
            for change in writes.changes:
                if change.before.key == self._key and change.after and change.after.state is State.SUCCEEDED:
                    raise DataRefused("a value does not fit")
            return writes

        return await self._store.transact(selection, guarded)  # type: ignore[attr-defined, no-any-return]
