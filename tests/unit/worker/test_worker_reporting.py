"""How events and progress get to the servers."""

from typing import Any

import pytest

from rejoinder.v1.operation_pb2 import Progress
from rejoinder.worker.v1.worker_pb2 import Event, Fence, Grant, ProcessDeath
from rejoinder_worker.attempt import Attempt, Stop
from rejoinder_worker.progress import ProgressFeed
from rejoinder_worker.reporter import Reporter
from tests.support.manual_time import ManualTime
from tests.support.recording_broker import RecordingBroker
from tests.support.waiting import eventually


class Connected:
    """Handlers of a connection on which nothing arrives."""

    def __init__(self) -> None:
        self.reporter: Reporter | None = None

    def connected(self, connection_id: str) -> None:
        if self.reporter is not None:
            self.reporter.connected()

    def disconnected(self, detail: str) -> None: ...

    def token(self, token: Any) -> None: ...

    def message(self, message: Any) -> None: ...

    def unreadable(self) -> None: ...


@pytest.fixture
async def broker() -> RecordingBroker:
    made = RecordingBroker(confirms=False)
    await made.start(Connected())
    return made


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


@pytest.fixture
def reporter(broker: RecordingBroker, time: ManualTime) -> Reporter:
    made = Reporter(broker, scheduler=time, limit=3)
    broker.handlers.reporter = made  # type: ignore[attr-defined] # Connected
    return made


def numbered(number: int) -> Event:
    return Event(worker=str(number), process_died=ProcessDeath())


async def test_a_confirmed_event_is_kept_no_longer(reporter: Reporter, broker: RecordingBroker) -> None:
    told: list[int] = []
    reporter.send(numbered(1), confirmed=lambda: told.append(1))
    assert (1, []) == (reporter.unconfirmed, told)
    broker.confirm_all()
    assert await reporter.drained(10)
    assert [1] == told


async def test_waiting_for_confirms_is_bounded(reporter: Reporter) -> None:
    reporter.send(numbered(1))
    assert not await reporter.drained(0.01)


async def test_events_of_an_outage_are_sent_in_order_after_it(reporter: Reporter, broker: RecordingBroker) -> None:
    reporter.send(numbered(1))
    broker.disconnect()
    reporter.send(numbered(2))
    reporter.send(numbered(3))
    broker.connect()
    assert ["1", "1", "2", "3"] == [event.worker for event in broker.events]
    broker.confirm_all()
    assert await reporter.drained(10)


async def test_an_event_refused_on_a_live_connection_is_sent_again_after_a_pause(
    reporter: Reporter, broker: RecordingBroker, time: ManualTime
) -> None:
    reporter.send(numbered(1))
    broker.refuse_all()
    await eventually(lambda: time._timers)
    time.advance(1)
    assert ["1", "1"] == [event.worker for event in broker.events]


async def test_a_full_reporter_says_so_and_tells_when_there_is_room(
    reporter: Reporter, broker: RecordingBroker
) -> None:
    told: list[int] = []
    reporter.on_room = lambda: told.append(1)
    for number in range(3):
        reporter.send(numbered(number))
    assert reporter.is_full
    broker.confirm_all()
    await reporter.drained(10)
    assert (False, [1]) == (reporter.is_full, told)


@pytest.fixture
def feed(reporter: Reporter, time: ManualTime) -> ProgressFeed:
    attempt = Attempt(Grant(fence=Fence(uid="u", attempt=1)), leased_since=0)
    return ProgressFeed(
        attempt,
        worker="worker-1",
        reporter=reporter,
        clock=time,
        scheduler=time,
        wake=lambda function: function(),
    )


def sent(broker: RecordingBroker) -> list[tuple[int, int]]:
    return [(event.progress.number, event.progress.progress.completed) for event in broker.events]


async def confirm(broker: RecordingBroker, reporter: Reporter) -> None:
    broker.confirm_all()
    assert await reporter.drained(10)


async def test_progress_is_sent_at_most_every_100_ms_and_the_latest_wins(
    feed: ProgressFeed, broker: RecordingBroker, reporter: Reporter, time: ManualTime
) -> None:
    for completed in (1, 2, 3):
        feed.offer(Progress(completed=completed))
        await confirm(broker, reporter)
    assert [(1, 1)] == sent(broker)
    time.advance(0.099)
    assert [(1, 1)] == sent(broker)
    time.advance(0.002)
    assert [(1, 1), (2, 3)] == sent(broker)


async def test_progress_waits_for_the_confirm_of_the_one_before(
    feed: ProgressFeed, broker: RecordingBroker, reporter: Reporter, time: ManualTime
) -> None:
    feed.offer(Progress(completed=1))
    for completed in (2, 3):
        time.advance(1)
        feed.offer(Progress(completed=completed))
    assert [(1, 1)] == sent(broker)
    broker.confirm_all()
    await eventually(lambda: sent(broker) == [(1, 1), (2, 3)])


async def test_the_last_progress_is_sent_whatever_the_pace(feed: ProgressFeed, broker: RecordingBroker) -> None:
    feed.offer(Progress(completed=1))
    feed.offer(Progress(completed=2))
    feed.flush()
    assert [(1, 1), (2, 2)] == sent(broker)


async def test_unconfirmed_progress_is_not_sent_again_when_there_is_newer(
    feed: ProgressFeed, broker: RecordingBroker, time: ManualTime
) -> None:
    feed.offer(Progress(completed=1))
    feed.offer(Progress(completed=2))
    broker.disconnect()
    time.advance(1)
    broker.connect()
    assert [(1, 1), (2, 2)] == sent(broker)


async def test_a_fenced_attempt_reports_no_progress(
    feed: ProgressFeed, broker: RecordingBroker, time: ManualTime
) -> None:
    feed._attempt.tell_to_stop(Stop.FENCED)
    feed.offer(Progress(completed=1))
    time.advance(1)
    assert [] == sent(broker)
