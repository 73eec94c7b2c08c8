from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejoinder.v1.operation_service_pb2 import WatchStatusRequest, WatchStatusResponse
from rejoinder_client import NotFound, RejoinderError, Unavailable, Update, WaitTimeout, WatchOptions
from rejoinder_client.actions import End, Open, Pause, Read, Show
from rejoinder_client.watching import RESUMABLE, Watching
from tests.support.scripted_service import State, drain, heartbeat, operation, progress, snapshot, transition

SUCCEEDED = State.STATE_SUCCEEDED


class Watched:
    """A machine with a clock that stands still until it is moved, and the longest jitter."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.machine = Watching(
            "op",
            namespace="team",
            options=cast("WatchOptions", options),
            clock=lambda: self.now,
            uniform=lambda _low, high: high,
        )

    def open(self) -> WatchStatusRequest:
        action = self.machine.next()
        assert isinstance(action, Open)
        return action.request

    def pause(self) -> Pause:
        action = self.machine.next()
        assert isinstance(action, Pause)
        return action

    def reopen(self) -> WatchStatusRequest:
        self.pause()
        return self.open()

    def receive(self, *messages: WatchStatusResponse) -> list[Update]:
        shown = []
        for message in messages:
            assert isinstance(self.machine.next(), Read)
            self.machine.received(message)
            if self.machine._show:
                action = self.machine.next()
                assert isinstance(action, Show)
                shown.append(action.update)
        return shown

    def cut(self, code: str = "UNAVAILABLE", **details: Any) -> None:
        assert isinstance(self.machine.next(), Read)
        self.machine.ended(Unavailable("cut", code=code, **details))

    def end(self) -> None:
        assert isinstance(self.machine.next(), Read)
        self.machine.ended(None)

    def is_over(self) -> bool:
        return isinstance(self.machine.next(), End)


def test_a_watch_begins_without_a_cursor() -> None:
    assert WatchStatusRequest(namespace="team", operation_id="op") == Watched().open()


def test_a_watch_from_the_start_asks_for_it_until_it_has_a_cursor() -> None:
    watched = Watched(from_start=True)
    assert watched.open().from_start
    watched.receive(transition(1, 1))
    watched.cut()
    assert ("c1", False) == ((request := watched.reopen()).cursor, request.from_start)


def test_updates_are_shown_with_the_operation_as_known_then() -> None:
    watched = Watched()
    watched.open()
    shown = watched.receive(snapshot(1), progress(2, 5), transition(3, 2))
    assert [("snapshot", 1), ("progress", 2), ("transition", 3)] == [(each.kind, each.revision) for each in shown]
    assert [None, 5, None] == [
        each.operation.progress.completed if each.operation and each.operation.progress else None for each in shown
    ]


def test_the_watch_ends_after_the_terminal_update() -> None:
    watched = Watched()
    watched.open()
    watched.receive(transition(1, 1, SUCCEEDED))
    assert watched.is_over()


def test_a_terminal_snapshot_ends_the_watch() -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(9, State.STATE_FAILED))
    assert watched.is_over()


def test_a_replayed_transition_is_shown_as_it_was_though_the_operation_is_further() -> None:
    watched = Watched(from_start=True)
    watched.open()
    ended = operation(SUCCEEDED, revision=2, attempt=1, result=None)
    shown = watched.receive(transition(1, 1, sent_as=ended), transition(2, 2, SUCCEEDED))
    assert [("RUNNING", 1, False), ("SUCCEEDED", 2, True)] == [
        (each.operation.state, each.operation.revision, each.operation.result is not None)
        for each in shown
        if each.operation
    ]
    assert watched.is_over()


@pytest.mark.parametrize("code", sorted(RESUMABLE))
def test_a_cut_resumes_from_the_last_cursor(code: str) -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(1), progress(2))
    watched.cut(code)
    assert "c2" == watched.reopen().cursor


def test_an_answer_is_raised() -> None:
    watched = Watched()
    watched.open()
    with pytest.raises(NotFound):
        watched.machine.ended(NotFound("gone", code="NOT_FOUND"))


def test_an_ok_without_a_terminal_state_is_a_cut() -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(1))
    watched.end()
    assert "STREAM_CUT" == watched.pause().interruption.cause.reason
    assert "" == watched.open().cursor  # looks where the operation stands
    assert [] == watched.receive(snapshot(1))
    assert "c1" == watched.open().cursor


def test_an_ok_before_anything_was_heard_begins_again() -> None:
    watched = Watched()
    watched.open()
    watched.end()
    watched.reopen()
    assert 1 == len(watched.receive(snapshot(1)))


def test_a_watch_from_a_cursor_at_the_terminal_state_shows_nothing_and_ends() -> None:
    watched = Watched(cursor="c9")
    watched.open()
    watched.receive(heartbeat(9))
    watched.end()
    watched.reopen()
    assert [] == watched.receive(snapshot(9, SUCCEEDED))
    assert watched.is_over()


def test_a_terminal_state_past_the_cursor_is_still_fetched_after_a_cut() -> None:
    watched = Watched(cursor="c8")
    watched.open()
    watched.receive(heartbeat(8))
    watched.end()
    watched.reopen()
    assert [] == watched.receive(snapshot(9, SUCCEEDED))
    assert "c8" == watched.open().cursor
    assert [9] == [each.revision for each in watched.receive(transition(9, 3, SUCCEEDED))]


def test_a_second_silent_ok_is_believed_when_the_operation_has_ended() -> None:
    watched = Watched(cursor="written-otherwise")
    for _ in range(2):
        watched.open()
        watched.end()
        watched.reopen()
        watched.receive(snapshot(9, SUCCEEDED))
    assert watched.is_over()


@pytest.mark.parametrize("old", [snapshot(5), progress(5), progress(4), transition(5, 2), transition(3, 1)])
def test_nothing_that_is_not_newer_is_shown_or_moves_the_cursor(old: WatchStatusResponse) -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(1), transition(5, 2))
    assert [] == watched.receive(old)
    watched.cut()
    assert "c5" == watched.reopen().cursor


def test_a_transition_that_repeats_a_sequence_is_not_shown() -> None:
    watched = Watched()
    watched.open()
    assert 1 == len(watched.receive(transition(5, 2), transition(6, 2)))


def test_a_gap_snapshot_starts_anew_even_with_a_lower_revision() -> None:
    watched = Watched()
    watched.open()
    watched.receive(transition(9, 4))
    watched.cut()
    watched.reopen()
    shown = watched.receive(snapshot(3, gap=True), snapshot(3, gap=True), transition(4, 2))
    assert [("snapshot", 3, True), ("transition", 4, False)] == [(each.kind, each.revision, each.gap) for each in shown]


def test_a_hole_between_transitions_resumes_before_it() -> None:
    watched = Watched()
    watched.open()
    assert 1 == len(watched.receive(transition(1, 1), transition(5, 3)))
    assert "c1" == watched.reopen().cursor
    assert 2 == len(watched.receive(transition(3, 2), transition(5, 3)))


def test_a_hole_that_a_resume_does_not_fill_is_raised() -> None:
    watched = Watched()
    watched.open()
    watched.receive(transition(1, 1), transition(5, 3))
    watched.reopen()
    with pytest.raises(RejoinderError, match="hole") as caught:
        watched.receive(transition(5, 3))
    assert "DATA_LOSS" == caught.value.code


def test_a_hole_before_the_first_transition_of_a_whole_history_is_noticed() -> None:
    watched = Watched(from_start=True)
    watched.open()
    assert [] == watched.receive(transition(2, 2))


def test_heartbeats_are_shown_only_on_request() -> None:
    for asked in (False, True):
        watched = Watched(heartbeats=asked)
        watched.open()
        watched.receive(snapshot(1))
        assert asked is bool(watched.receive(heartbeat(1)))


def test_a_heartbeat_of_another_revision_does_not_move_the_cursor() -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(3), heartbeat(5), heartbeat(2))
    watched.cut()
    assert "c3" == watched.reopen().cursor


def test_silence_of_two_and_a_half_heartbeats_is_a_cut() -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(1), heartbeat(1, interval=timedelta(seconds=4)))
    assert Read(10.0) == watched.machine.next()
    watched.machine.silent()
    assert "SILENT" == watched.pause().interruption.cause.reason


def test_a_drain_resumes_after_the_time_that_it_names() -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(1), drain(1, retry_after=timedelta(seconds=3)))
    assert 3.25 == watched.pause().seconds
    assert "c1" == watched.open().cursor


def test_a_retry_after_is_waited_for() -> None:
    watched = Watched()
    watched.open()
    watched.cut("RESOURCE_EXHAUSTED", retry_after=timedelta(seconds=7))
    assert 7.25 == watched.pause().seconds


def test_the_backoff_doubles_to_its_bound() -> None:
    watched = Watched()
    seconds = []
    for _ in range(8):
        watched.open()
        watched.cut()
        seconds.append(watched.pause().seconds)
    assert [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0] == seconds


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([progress(2)], 0.25),
        ([heartbeat(1), heartbeat(1)], 0.25),
        ([heartbeat(1)], 2.0),
        ([drain(1)], 2.0),
        ([snapshot(1)], 2.0),
    ],
)
def test_the_backoff_begins_again_after_a_stream_that_brought_something(
    messages: Sequence[WatchStatusResponse], expected: float
) -> None:
    watched = Watched()
    watched.open()
    watched.receive(snapshot(1))
    for _ in range(3):
        watched.cut()
        watched.reopen()
    watched.receive(*messages)
    if not messages[-1].HasField("drain"):
        watched.cut()
    assert expected == watched.pause().seconds


def test_the_timeout_raises_with_the_operation_id_and_bounds_every_wait() -> None:
    watched = Watched(timeout=timedelta(seconds=5))
    watched.open()
    assert Read(5.0) == watched.machine.next()
    watched.now += 5
    with pytest.raises(WaitTimeout) as caught:
        watched.machine.silent()
    assert "op" == caught.value.operation_id


def test_a_pause_ends_at_the_timeout() -> None:
    watched = Watched(timeout=5)
    watched.open()
    watched.cut(retry_after=timedelta(seconds=60))
    assert 5.0 == watched.pause().seconds


def test_the_last_error_is_raised_when_nothing_was_heard_for_the_budget() -> None:
    watched = Watched(reconnect_for=timedelta(seconds=3))
    watched.open()
    watched.receive(snapshot(1))
    watched.cut()
    watched.reopen()
    watched.now += 2.8
    with pytest.raises(Unavailable, match="cut"):
        watched.cut()


def test_without_a_budget_a_watch_resumes_for_ever() -> None:
    watched = Watched()
    for _ in range(1000):
        watched.open()
        watched.now += 3600
        watched.cut()
        watched.pause()


def make_history(transitions: Sequence[int]) -> list[WatchStatusResponse]:
    """Return a history from a count of progress updates before each transition."""
    history: list[WatchStatusResponse] = []
    for sequence, reports in enumerate(transitions, start=1):
        history += [progress(len(history) + 1 + n) for n in range(reports)]
        state = SUCCEEDED if sequence == len(transitions) else State.STATE_RUNNING
        history.append(transition(len(history) + 1, sequence, state))
    return history


@given(
    transitions=st.lists(st.integers(0, 3), min_size=1, max_size=6),
    data=st.data(),
)
def test_every_transition_is_shown_once_and_in_order_whatever_the_streams_do(
    transitions: list[int], data: st.DataObject
) -> None:
    history = make_history(transitions)
    watched = Watched(from_start=True, heartbeats=False)
    shown: list[Update] = []
    patience = 30
    while not isinstance(action := watched.machine.next(), End):
        match action:
            case Open(request):
                place = int(request.cursor[1:] or 0) if request.cursor else 0
                is_check = not request.cursor and not request.from_start
                stream = [snapshot(len(history), SUCCEEDED)] if is_check else history[place:]
                patience -= 1
            case Show(update):
                shown.append(update)
            case Read():
                fault = data.draw(st.sampled_from(["none", "cut", "end", "silent", "repeat", "stale", "skip", "drain"]))
                if patience <= 0 or is_check:
                    fault = "none"
                if fault == "cut":
                    watched.machine.ended(Unavailable("cut", code="UNAVAILABLE"))
                elif fault == "silent":
                    watched.machine.silent()
                elif fault == "end" or not stream:
                    watched.machine.ended(None)
                elif fault == "drain":
                    watched.machine.received(drain(len(history) - len(stream)))
                elif fault == "stale":
                    watched.machine.received(data.draw(st.sampled_from(history[: len(history) - len(stream) + 1])))
                elif fault == "skip" and stream[0].HasField("progress"):
                    stream = stream[1:]  # progress is latest-wins
                else:
                    watched.machine.received(stream[0])
                    stream = stream if fault == "repeat" else stream[1:]
    sequences = [each.transition.sequence for each in shown if each.transition]
    revisions = [each.revision for each in shown]
    assert list(range(1, len(transitions) + 1)) == sequences
    assert sorted(set(revisions)) == revisions
