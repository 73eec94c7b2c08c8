"""What a watch sends, message by message."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rejoinder.v1.operation_service_pb2 import WatchStatusResponse
from rejoinder_server.cursor import Cursor, decode
from rejoinder_server.errors import Draining, PurgedOperation, SlowReader, UnknownOperation
from rejoinder_server.operation import SECOND, Key, Operation
from rejoinder_server.watch import WatchRequest
from tests.support.server_parts import Parts, progressed, released, succeeded
from tests.support.waiting import eventually

LONG = 3600 * SECOND


class Watching:
    """A watch under way, with what it has sent."""

    def __init__(self) -> None:
        self.sent: list[WatchStatusResponse] = []
        self.task: asyncio.Task[None]

    async def send(self, response: WatchStatusResponse) -> None:
        self.sent.append(response)

    def kinds(self) -> list[str]:
        """Return what kinds of updates were sent."""
        return [str(response.WhichOneof("update")) for response in self.sent]

    async def until(self, count: int) -> None:
        """Wait until that many messages were sent."""
        await eventually(lambda: len(self.sent) >= count)


@asynccontextmanager
async def watching(
    parts: Parts,
    *,
    cursor: Cursor | None = None,
    from_start: bool = False,
    heartbeat: int = LONG,
    operation_id: str = "a",
) -> AsyncIterator[Watching]:
    """Watch an operation, and end the watch with the block."""
    made = Watching()
    request = WatchRequest(Key("default", operation_id), cursor, from_start, heartbeat)
    made.task = asyncio.create_task(parts.watch.stream(request, made.send))
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.wait([made.task])


async def cursors(parts: Parts) -> list[Cursor]:
    """Return the cursors of all that has happened to the operation so far."""
    async with watching(parts, from_start=True) as watch:
        operation = await parts.read("a")
        await eventually(lambda: watch.sent and watch.sent[-1].revision == operation.revision)
        return [decode(response.cursor) for response in watch.sent]


async def finished(parts: Parts) -> None:
    """Run the operation to its success, with progress on the way."""
    await parts.submit("a")
    [grant] = await parts.grant()
    await parts.recorder.record([progressed(grant.fence, 1, 50)])
    await parts.recorder.record([succeeded(grant.fence, 2, '"done"')])


async def test_without_a_cursor_the_first_message_is_a_snapshot(parts: Parts) -> None:
    await parts.submit("a")
    async with watching(parts) as watch:
        await watch.until(1)
        assert ["snapshot"] == watch.kinds()
        assert not watch.sent[0].gap


async def test_the_snapshot_of_a_terminal_operation_ends_the_stream(parts: Parts) -> None:
    await finished(parts)
    async with watching(parts) as watch:
        await watch.task
        assert ["snapshot"] == watch.kinds()
        assert '"done"' == watch.sent[0].snapshot.result.json


async def test_from_the_start_every_transition_comes_with_growing_revisions(parts: Parts) -> None:
    await finished(parts)
    async with watching(parts, from_start=True) as watch:
        await watch.task
        assert ["transition", "transition", "progress", "transition"] == watch.kinds()
        assert [1, 2, 3, 4] == [response.revision for response in watch.sent]
        assert [1, 2, 3] == [response.transition.sequence for response in watch.sent if response.HasField("transition")]


async def test_the_result_travels_with_the_terminal_transition_alone(parts: Parts) -> None:
    await finished(parts)
    async with watching(parts, from_start=True) as watch:
        await watch.task
        results = [response.transition.operation.HasField("result") for response in watch.sent]
        assert [False, False, False, True] == results


async def test_a_resume_from_any_place_gives_what_follows_it(parts: Parts) -> None:
    await finished(parts)
    places = await cursors(parts)
    for index, place in enumerate(places):
        async with watching(parts, cursor=place) as watch:
            await watch.task
            assert [each.revision for each in places[index + 1 :]] == [response.revision for response in watch.sent]


async def test_a_resume_where_nothing_follows_is_told_so_at_once(parts: Parts) -> None:
    await parts.submit("a")
    [place] = await cursors(parts)
    async with watching(parts, cursor=place) as watch:
        await watch.until(1)
        assert ["heartbeat"] == watch.kinds()
        assert place == decode(watch.sent[0].cursor)


@pytest.mark.parametrize(
    "alter",
    [
        lambda cursor: replace(cursor, nonce="0" * 16),
        lambda cursor: replace(cursor, uid="another"),
        lambda cursor: replace(cursor, sequence=99),
        lambda cursor: replace(cursor, revision=99),
    ],
    ids=["another nonce", "another uid", "a later sequence", "a later revision"],
)
async def test_a_cursor_that_the_history_does_not_contain_gives_a_snapshot_with_a_gap(
    parts: Parts, alter: Callable[[Cursor], Cursor]
) -> None:
    await parts.submit("a")
    [place] = await cursors(parts)
    async with watching(parts, cursor=alter(place)) as watch:
        await watch.until(1)
        assert ["snapshot"] == watch.kinds()
        assert watch.sent[0].gap


async def test_a_change_reaches_a_watcher_without_any_timer(parts: Parts) -> None:
    await parts.submit("a")
    async with watching(parts) as watch:
        await watch.until(1)
        [grant] = await parts.grant()
        await watch.until(2)
        await parts.recorder.record([released(grant.fence)])
        await watch.until(3)
        assert ["GRANTED", "RELEASED"] == [response.transition.reason for response in watch.sent[1:]]


async def test_progress_between_two_looks_is_told_once(parts: Parts) -> None:
    await parts.submit("a")
    [grant] = await parts.grant()
    for number in range(1, 6):
        await parts.recorder.record([progressed(grant.fence, number, number)])
    async with watching(parts, from_start=True) as watch:
        await watch.until(3)
        assert ["transition", "transition", "progress"] == watch.kinds()
        assert 5 == watch.sent[-1].progress.progress.completed


async def test_a_lost_wake_up_costs_one_heartbeat_interval(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    await parts.submit("a")
    async with watching(parts, heartbeat=SECOND // 5) as watch:
        await watch.until(1)
        monkeypatch.setattr(parts.hub, "wake", lambda _key: None)
        await parts.grant()
        await eventually(lambda: "transition" in watch.kinds())


async def test_heartbeats_come_while_nothing_changes_and_say_why_it_waits(parts: Parts) -> None:
    await parts.submit("a")
    async with watching(parts, heartbeat=SECOND // 10) as watch:
        await watch.until(3)
        assert ["snapshot", "heartbeat", "heartbeat"] == watch.kinds()[:3]
        assert watch.sent[1].heartbeat.waiting_detail


@pytest.mark.parametrize(
    "fields",
    [{"nonce": "0" * 16}, {"uid": "another"}, {"revision": 1, "sequence": 1}],
    ids=["another transition", "another operation", "fallen back"],
)
async def test_a_watch_whose_history_has_gone_another_way_starts_anew_with_a_gap(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
) -> None:
    await parts.submit("a")
    await parts.grant()
    async with watching(parts) as watch:
        await watch.until(1)
        forked = replace(await parts.read("a"), **fields)  # type: ignore[arg-type] # fields of its own

        async def read(_key: Key) -> Operation:
            return forked

        monkeypatch.setattr(parts.reader, "read", read)
        parts.hub.wake_all()
        await watch.until(2)
        assert ["snapshot", "snapshot"] == watch.kinds()
        assert [False, True] == [response.gap for response in watch.sent]


async def test_a_draining_server_says_where_to_resume(parts: Parts) -> None:
    await parts.submit("a")
    async with watching(parts) as watch:
        await watch.until(1)
        parts.hub.drain()
        with pytest.raises(Draining):
            await watch.task
        assert ["snapshot", "drain"] == watch.kinds()
        assert watch.sent[0].cursor == watch.sent[1].cursor


async def test_a_reader_that_does_not_read_is_cut(parts: Parts) -> None:
    await parts.submit("a")

    async def never(_response: WatchStatusResponse) -> None:
        await asyncio.Event().wait()

    with pytest.raises(SlowReader):
        await parts.watch.stream(WatchRequest(Key("default", "a"), None, False, LONG), never)


async def test_an_operation_that_is_not_there_is_unknown_and_one_that_was_purged_says_so(parts: Parts) -> None:
    await finished(parts)
    parts.advance(61)
    await parts.sweeper.sweep()
    for operation_id, error in (("b", UnknownOperation), ("a", PurgedOperation)):
        async with watching(parts, operation_id=operation_id) as watch:
            with pytest.raises(error):
                await watch.task


async def test_a_watch_leaves_nothing_behind(parts: Parts) -> None:
    await parts.submit("a")
    async with watching(parts) as watch:
        await watch.until(1)
        assert 1 == len(parts.hub)
    assert 0 == len(parts.hub)


async def test_a_long_history_comes_whole(parts: Parts) -> None:
    await parts.submit("a")
    for _ in range(120):
        [grant] = await parts.grant()
        await parts.recorder.record([released(grant.fence)])
    async with watching(parts, from_start=True) as watch:
        await watch.until(241)
        assert list(range(1, 242)) == [response.transition.sequence for response in watch.sent]
