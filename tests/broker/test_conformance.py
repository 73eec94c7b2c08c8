"""What both brokers do."""

import asyncio
from contextlib import suppress

import pytest

import rejoinder_broker.local.server
import rejoinder_broker.rabbitmq.server
from rejoinder_broker import BrokerUnavailable
from rejoinder_broker.batching import MAX_BATCH_BYTES
from tests.broker.conftest import Sides
from tests.support.broker_sides import (
    KIND,
    OTHER_KIND,
    RecordingServer,
    ServerSide,
    WorkerSide,
    answer,
    changes,
    claim,
    event,
)
from tests.support.waiting import eventually


async def offer_until_taken(server: ServerSide, *workers: WorkerSide, count: int = 1) -> None:
    """Offer tokens until workers hold so many: the first may go out before the broker knows who wants them."""

    def is_taken() -> bool:
        held = sum(len(worker.told.tokens) for worker in workers)
        if held < count:
            server.broker.offer(KIND)
        return held >= count

    await eventually(is_taken)


async def test_a_token_reaches_a_worker_that_consumes_its_kind(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    worker.broker.consume([KIND])
    await offer_until_taken(server, worker)
    assert KIND == worker.told.tokens[0].kind


async def test_a_worker_holds_one_token_of_a_kind_at_most(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    worker.broker.consume([KIND, OTHER_KIND])
    await offer_until_taken(server, worker)
    for _ in range(3):
        server.broker.offer(KIND)
    server.broker.offer(OTHER_KIND)
    await eventually(lambda: OTHER_KIND in [token.kind for token in worker.told.tokens])
    assert [KIND, OTHER_KIND] == [token.kind for token in worker.told.tokens]


async def test_spending_a_token_brings_the_next(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    worker.broker.consume([KIND])
    await offer_until_taken(server, worker)
    worker.told.tokens[0].spend()
    server.broker.offer(KIND)
    await eventually(lambda: len(worker.told.tokens) == 2)


async def test_a_token_that_is_given_back_reaches_another_worker(sides: Sides) -> None:
    server, first, second = await sides.server(), await sides.worker(), await sides.worker()
    first.broker.consume([KIND])
    await offer_until_taken(server, first)
    first.broker.consume([])
    second.broker.consume([KIND])
    first.told.tokens[0].give_back()
    await eventually(lambda: second.told.tokens)


async def test_a_token_is_answered_only_once(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    worker.broker.consume([KIND])
    await offer_until_taken(server, worker)
    worker.broker.consume([])
    worker.told.tokens[0].give_back()
    worker.told.tokens[0].spend()
    worker.broker.consume([KIND])
    await eventually(lambda: len(worker.told.tokens) == 2)


async def test_a_worker_that_pauses_gets_no_tokens(sides: Sides) -> None:
    server, paused, busy = await sides.server(), await sides.worker(), await sides.worker()
    paused.broker.consume([KIND])
    await offer_until_taken(server, paused)
    paused.broker.consume([])
    paused.told.tokens[0].give_back()
    busy.broker.consume([KIND])
    await eventually(lambda: busy.told.tokens)
    for held in range(1, 5):
        busy.told.tokens[-1].spend()
        await offer_until_taken(server, busy, count=held + 1)
    assert 1 == len(paused.told.tokens)


async def test_tokens_are_shared_between_workers(sides: Sides) -> None:
    server, first, second = await sides.server(), await sides.worker(), await sides.worker()
    first.broker.consume([KIND])
    second.broker.consume([KIND])
    await offer_until_taken(server, first, second, count=2)
    assert [1, 1] == [len(first.told.tokens), len(second.told.tokens)]


async def test_claims_reach_the_server_in_order(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    for number in range(100):
        worker.broker.claim(claim(str(number)))
    await eventually(lambda: len(server.told.claim_ids) == 100)
    assert [str(number) for number in range(100)] == server.told.claim_ids


async def test_claims_that_arrive_while_a_batch_is_answered_form_one_batch(sides: Sides) -> None:
    class SlowServer(RecordingServer):
        async def claims(self, claims) -> None:  # type: ignore[no-untyped-def]
            await super().claims(claims)
            await asyncio.wait_for(go_on.wait(), 10)

    go_on = asyncio.Event()
    server, worker = await sides.server(SlowServer()), await sides.worker()
    worker.broker.claim(claim("first"))
    await eventually(lambda: server.told.claimed)
    for number in range(5):
        worker.broker.claim(claim(str(number)))
    await server.broker.send(worker.connection_id, answer("a"))
    go_on.set()
    await eventually(lambda: len(server.told.claim_ids) == 6)
    assert len(server.told.claimed) < 6


async def test_a_claims_handler_that_raises_stops_nothing(sides: Sides) -> None:
    class FailingServer(RecordingServer):
        async def claims(self, claims) -> None:  # type: ignore[no-untyped-def]
            await super().claims(claims)
            raise ValueError("no")

    server, worker = await sides.server(FailingServer()), await sides.worker()
    worker.broker.claim(claim("first"))
    await eventually(lambda: server.told.claim_ids)
    worker.broker.claim(claim("second"))
    await eventually(lambda: server.told.claim_ids == ["first", "second"])


async def test_messages_reach_their_connection_in_order(sides: Sides) -> None:
    server, worker, other = await sides.server(), await sides.worker(), await sides.worker()
    names = [str(number) for number in range(200)]
    results = await asyncio.gather(*(server.broker.send(worker.connection_id, answer(name)) for name in names))
    await eventually(lambda: len(worker.told.answers) == 200)
    assert (names, [], {True}) == (worker.told.answers, other.told.answers, set(results))


async def test_sending_to_an_unknown_connection_answers_false(sides: Sides) -> None:
    server = await sides.server()
    assert await server.broker.send("nobody", answer("a")) is False


async def test_sending_to_a_connection_that_has_ended_answers_false(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    assert await server.broker.send(worker.connection_id, answer("a")) is True
    await worker.broker.stop()

    async def is_gone() -> bool:
        return not await server.broker.send(worker.connection_id, answer("b"))

    await eventually(is_gone)  # type: ignore[arg-type]  # mypy cannot tell which way an async check goes


async def test_events_are_recorded_in_order_and_confirmed(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    names = [str(number) for number in range(2000)]
    await asyncio.wait_for(asyncio.gather(*(worker.broker.report(event(name)) for name in names)), 30)
    await eventually(lambda: len(server.told.recorded) == 2000)
    assert names == server.told.recorded


async def test_events_that_arrive_together_are_recorded_together(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    await asyncio.wait_for(asyncio.gather(*(worker.broker.report(event(str(number))) for number in range(500))), 30)
    await eventually(lambda: len(server.told.recorded) == 500)
    assert server.told.batches < 100


async def test_a_batch_of_events_is_bounded_in_bytes(sides: Sides) -> None:
    class SizingServer(RecordingServer):
        async def events(self, events):  # type: ignore[no-untyped-def]
            begun.set()
            await asyncio.wait_for(go_on.wait(), 30)
            sizes.append(sum(event.ByteSize() for event in events))
            return await super().events(events)

    begun, go_on = asyncio.Event(), asyncio.Event()
    sizes: list[int] = []
    server, worker = await sides.server(SizingServer()), await sides.worker()
    reports = [worker.broker.report(event("first"))]
    await asyncio.wait_for(begun.wait(), 10)
    reports += [worker.broker.report(event(str(number) * 1024 * 1024)) for number in range(10)]
    reports += [worker.broker.report(event("last" + "." * (MAX_BATCH_BYTES - 100)))]
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*reports), 30)
    await eventually(lambda: len(server.told.recorded) == 12)
    assert max(sizes) <= MAX_BATCH_BYTES
    assert ["f", *(str(number) for number in range(10)), "l"] == [name[0] for name in server.told.recorded]


async def test_a_server_s_own_event_comes_behind_those_reported_before(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    await asyncio.wait_for(worker.broker.report(event("from the worker")), 10)
    await server.broker.report(event("from the server"))
    await eventually(lambda: server.told.recorded == ["from the worker", "from the server"])


async def test_events_are_delivered_again_in_order_after_the_recorder_failed(sides: Sides) -> None:
    server, worker = await sides.server(RecordingServer(is_failing=True)), await sides.worker()
    names = [str(number) for number in range(50)]
    reports = [worker.broker.report(event(name)) for name in names[:25]]
    await eventually(lambda: server.told.failures >= 2)
    reports += [worker.broker.report(event(name)) for name in names[25:]]
    server.told.is_failing = False
    await eventually(lambda: len(server.told.recorded) == 50)
    await asyncio.wait_for(asyncio.gather(*reports), 10)
    assert names == server.told.recorded


async def test_a_refused_event_stops_nothing(sides: Sides) -> None:
    server, worker = await sides.server(RecordingServer(refused_ids={"odd"})), await sides.worker()
    reports = [worker.broker.report(event(name)) for name in ["a", "odd", "b"]]
    await asyncio.wait_for(asyncio.gather(*reports), 10)
    await eventually(lambda: server.told.recorded == ["a", "b"])


async def test_a_server_hears_its_own_announcements(sides: Sides) -> None:
    server = await sides.server()
    server.broker.announce(changes("op"))
    await eventually(lambda: server.told.heard == ["op"])


async def test_a_server_that_stops_consuming_takes_no_more_claims_and_events(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    await server.broker.stop_consuming()
    worker.broker.claim(claim("late"))
    report = worker.broker.report(event("late"))
    worker.broker.consume([KIND])
    await offer_until_taken(server, worker)
    assert await server.broker.send(worker.connection_id, answer("a")) is True
    await eventually(lambda: worker.told.answers)
    assert ([], []) == (server.told.claim_ids, server.told.recorded)
    await worker.broker.stop()
    with suppress(BrokerUnavailable):
        await report


async def test_stopping_waits_for_the_batch_under_way(sides: Sides) -> None:
    class SlowServer(RecordingServer):
        async def events(self, events):  # type: ignore[no-untyped-def]
            begun.set()
            await asyncio.wait_for(go_on.wait(), 10)
            return await super().events(events)

    begun, go_on = asyncio.Event(), asyncio.Event()
    server, worker = await sides.server(SlowServer()), await sides.worker()
    report = worker.broker.report(event("a"))
    await asyncio.wait_for(begun.wait(), 10)
    stopping = asyncio.create_task(server.broker.stop_consuming())
    go_on.set()
    await asyncio.wait_for(stopping, 10)
    assert ["a"] == server.told.recorded
    await asyncio.wait_for(report, 10)


async def test_stopping_does_not_wait_for_ever_for_a_batch_that_does_not_end(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DeafServer(RecordingServer):
        async def events(self, events):  # type: ignore[no-untyped-def]
            begun.set()
            while not go_on.is_set():
                with suppress(asyncio.CancelledError):
                    await go_on.wait()
            return ()

    for module in (rejoinder_broker.local.server, rejoinder_broker.rabbitmq.server):
        monkeypatch.setattr(module, "_HANDLED_SECONDS", 0.05)
        monkeypatch.setattr(module, "_CANCELLED_SECONDS", 0.05)
    begun, go_on = asyncio.Event(), asyncio.Event()
    server, worker = await sides.server(DeafServer()), await sides.worker()
    report = worker.broker.report(event("a"))
    await asyncio.wait_for(begun.wait(), 10)
    await asyncio.wait_for(server.broker.stop_consuming(), 5)
    go_on.set()
    await worker.broker.stop()
    with suppress(BrokerUnavailable):
        await report


async def test_reports_under_way_fail_when_the_worker_stops(sides: Sides) -> None:
    class StuckServer(RecordingServer):
        async def events(self, events):  # type: ignore[no-untyped-def]
            await asyncio.wait_for(go_on.wait(), 30)
            return await super().events(events)

    go_on = asyncio.Event()
    await sides.server(StuckServer())
    worker = await sides.worker()
    reports = [worker.broker.report(event(str(number))) for number in range(3)]
    await worker.broker.stop()
    results = await asyncio.wait_for(asyncio.gather(*reports, return_exceptions=True), 10)
    go_on.set()
    assert all(result is None or isinstance(result, BrokerUnavailable) for result in results)


async def test_reporting_without_a_connection_fails(sides: Sides) -> None:
    await sides.server()
    worker = await sides.worker()
    await worker.broker.stop()
    assert worker.broker.connection_id is None
    with pytest.raises(BrokerUnavailable):
        await worker.broker.report(event("a"))


async def test_sides_say_that_they_are_connected(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    assert (1, True) == (server.told.connects, server.broker.is_connected)
    assert [worker.broker.connection_id] == worker.told.connection_ids


async def test_each_connection_has_a_name_of_its_own(sides: Sides) -> None:
    await sides.server()
    first, second = await sides.worker(), await sides.worker()
    assert first.connection_id != second.connection_id


async def test_a_handler_that_raises_keeps_the_connection(sides: Sides) -> None:
    server, worker = await sides.server(), await sides.worker()
    ids = list(worker.told.connection_ids)
    worker.told.answers = None  # type: ignore[assignment]  # appending to it fails
    await server.broker.send(worker.connection_id, answer("a"))
    worker.told.answers = []
    await server.broker.send(worker.connection_id, answer("b"))
    await eventually(lambda: "b" in worker.told.answers)
    assert ids == worker.told.connection_ids
