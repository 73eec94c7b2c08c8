"""What only RabbitMQ does, and what is done to it."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence

import pika.exceptions  # type: ignore[import-untyped]  # published without types
import pytest

from rejoinder.worker.v1.worker_pb2 import Event
from rejoinder_broker import BrokerRefused, BrokerUnavailable, Kind, RefusedEvent, server_broker, worker_broker
from rejoinder_broker.rabbitmq import RabbitServerBroker, RabbitWorkerBroker, Topology
from rejoinder_broker.rabbitmq.claims import ClaimsConsumer
from rejoinder_broker.rabbitmq.dead_letters import KEPT_BYTES
from rejoinder_broker.rabbitmq.pair import Pair, declare_events
from rejoinder_broker.rabbitmq.parameters import read_url
from rejoinder_broker.rabbitmq.tokens import TokenConsumers
from rejoinder_broker.reading import MAX_MESSAGE_BYTES
from tests.broker.conftest import Sides
from tests.support import raw_rabbit
from tests.support.broker_sides import (
    KIND,
    RecordingServer,
    RecordingWorker,
    ServerSide,
    WorkerSide,
    answer,
    changes,
    claim,
    event,
)
from tests.support.rabbitmq import RabbitNode
from tests.support.waiting import eventually

TOPOLOGY = Topology()


async def assert_everything_works(server: ServerSide, worker: WorkerSide, *, mark: str) -> None:
    """Send one of everything."""
    await asyncio.wait_for(worker.broker.report(event(mark)), 20)
    await eventually(lambda: mark in server.told.recorded, timeout=20)
    worker.broker.claim(claim(mark))
    await eventually(lambda: mark in server.told.claim_ids)
    assert await server.broker.send(worker.connection_id, answer(mark)) is True
    await eventually(lambda: mark in worker.told.answers)
    server.broker.announce(changes(mark))
    await eventually(lambda: mark in server.told.heard)
    worker.broker.consume([KIND])
    held = len(worker.told.tokens)

    def has_token() -> bool:
        spend_all(worker)
        server.broker.offer(KIND)
        return len(worker.told.tokens) > held

    await eventually(has_token)
    spend_all(worker)


def spend_all(worker: WorkerSide) -> None:
    for token in worker.told.tokens:
        token.spend()


# Garbage


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"", b"no protobuf at all"])
async def test_an_unreadable_event_is_counted_and_dead_lettered_and_stops_nothing(
    rabbit_sides: Sides, garbage: bytes
) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await worker.broker.report(event("before"))
    await asyncio.to_thread(raw_rabbit.publish, rabbit_sides.url, TOPOLOGY.events_name, garbage)
    await worker.broker.report(event("after"))
    await eventually(lambda: server.told.recorded == ["before", "after"])
    await eventually(lambda: server.told.unreadables == ["events"])
    (letter,) = await eventually(lambda: raw_rabbit.take(rabbit_sides.url, TOPOLOGY.dead.name))
    assert (garbage, "rejoinder.1.events") == (letter.body, letter.headers["rejoinder-source"])
    assert letter.headers["rejoinder-error"]


async def test_an_unreadable_claim_is_counted_and_dead_lettered_and_stops_nothing(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await asyncio.to_thread(raw_rabbit.publish, rabbit_sides.url, TOPOLOGY.claims.name, b"\xff", b"")
    worker.broker.claim(claim("after"))
    await eventually(lambda: server.told.claim_ids == ["after"])
    await eventually(lambda: server.told.unreadables == ["claims", "claims"])
    letters = await asyncio.to_thread(raw_rabbit.take, rabbit_sides.url, TOPOLOGY.dead.name)
    assert {"rejoinder.1.claims"} == {letter.headers["rejoinder-source"] for letter in letters}


async def test_an_unreadable_token_is_counted_and_dead_lettered_and_stops_nothing(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await assert_everything_works(server, worker, mark="before")
    worker.broker.consume([])
    queue = TOPOLOGY.work(KIND).name
    await asyncio.to_thread(raw_rabbit.take, rabbit_sides.url, queue)
    await asyncio.to_thread(raw_rabbit.publish, rabbit_sides.url, queue, b"\xff", b"")
    worker.broker.consume([KIND])
    await eventually(lambda: worker.told.unreadables == 2)
    letters = await eventually(lambda: raw_rabbit.take(rabbit_sides.url, TOPOLOGY.dead.name))
    assert queue == letters[0].headers["rejoinder-source"]
    await assert_everything_works(server, worker, mark="after")


async def test_an_unreadable_message_to_a_worker_is_counted_and_stops_nothing(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    queue = TOPOLOGY.worker_name(worker.connection_id)
    await asyncio.to_thread(raw_rabbit.publish, rabbit_sides.url, queue, b"\xff", b"")
    await server.broker.send(worker.connection_id, answer("after"))
    await eventually(lambda: worker.told.answers == ["after"])
    assert 2 == worker.told.unreadables


OVERSIZE = b"\xff" * (MAX_MESSAGE_BYTES + 1)


async def put_oversize(sides: Sides, queue: str) -> None:
    await asyncio.to_thread(raw_rabbit.publish, sides.url, queue, OVERSIZE)


async def assert_beginning_is_buried(sides: Sides, queue: str) -> None:
    """Wait for the one dead letter that the oversize message of a queue becomes."""
    (letter,) = await eventually(lambda: raw_rabbit.take(sides.url, TOPOLOGY.dead.name))
    assert (OVERSIZE[:KEPT_BYTES], queue) == (letter.body, letter.headers["rejoinder-source"])
    assert str(len(OVERSIZE)) == letter.headers["rejoinder-size"]


async def test_an_oversize_event_is_buried_and_the_rest_is_recorded_once(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await put_oversize(rabbit_sides, TOPOLOGY.events_name)
    names = [str(number) for number in range(20)]
    await asyncio.gather(*(worker.broker.report(event(name)) for name in names))
    await eventually(lambda: len(server.told.recorded) >= 20)
    await assert_beginning_is_buried(rabbit_sides, TOPOLOGY.events_name)
    assert (names, ["events"]) == (server.told.recorded, server.told.unreadables)


async def test_an_oversize_claim_is_buried_and_keeps_the_connection(rabbit_sides: Sides) -> None:
    server = await rabbit_sides.server()
    await put_oversize(rabbit_sides, TOPOLOGY.claims.name)
    await assert_beginning_is_buried(rabbit_sides, TOPOLOGY.claims.name)
    assert (["claims"], 1) == (server.told.unreadables, server.told.connects)


async def test_an_oversize_token_is_buried_and_keeps_the_connection(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await assert_everything_works(server, worker, mark="before")
    worker.broker.consume([])
    queue = TOPOLOGY.work(KIND).name
    await asyncio.to_thread(raw_rabbit.take, rabbit_sides.url, queue)
    await put_oversize(rabbit_sides, queue)
    worker.broker.consume([KIND])
    await eventually(lambda: worker.told.unreadables == 1)
    await assert_beginning_is_buried(rabbit_sides, queue)
    await assert_everything_works(server, worker, mark="after")
    assert 1 == len(worker.told.connection_ids)


async def test_an_oversize_message_to_a_worker_is_buried_and_keeps_the_connection(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    queue = TOPOLOGY.worker_name(worker.connection_id)
    await put_oversize(rabbit_sides, queue)
    await eventually(lambda: worker.told.unreadables == 1)
    await assert_beginning_is_buried(rabbit_sides, queue)
    await assert_everything_works(server, worker, mark="after")
    assert 1 == len(worker.told.connection_ids)


async def test_a_refused_event_is_dead_lettered_with_its_reason(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(RecordingServer(refused_ids={"odd"})), await rabbit_sides.worker()
    await asyncio.gather(*(worker.broker.report(event(name)) for name in ["a", "odd", "b"]))
    await eventually(lambda: server.told.recorded == ["a", "b"])
    (letter,) = await eventually(lambda: raw_rabbit.take(rabbit_sides.url, TOPOLOGY.dead.name))
    assert (event("odd").SerializeToString(), "too odd") == (letter.body, letter.headers["rejoinder-error"])
    assert 0 == await asyncio.to_thread(raw_rabbit.count, rabbit_sides.url, TOPOLOGY.events_name)


# Several servers


async def test_changes_reach_every_server(rabbit_sides: Sides) -> None:
    first, second = await rabbit_sides.server(), await rabbit_sides.server()
    first.broker.announce(changes("op"))
    await eventually(lambda: first.told.heard == second.told.heard == ["op"])


async def test_one_server_at_a_time_records(rabbit_sides: Sides) -> None:
    first, second, worker = await rabbit_sides.server(), await rabbit_sides.server(), await rabbit_sides.worker()
    await asyncio.gather(*(worker.broker.report(event(str(number))) for number in range(300)))
    await eventually(lambda: len(first.told.recorded) + len(second.told.recorded) == 300)
    assert [] in (first.told.recorded, second.told.recorded)


async def test_another_server_records_in_order_after_the_first_has_stopped(rabbit_sides: Sides) -> None:
    first, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await worker.broker.report(event("a"))
    await eventually(lambda: first.told.recorded == ["a"])
    second = await rabbit_sides.server()
    await first.broker.stop()
    await asyncio.gather(*(worker.broker.report(event(name)) for name in ["b", "c"]))
    await eventually(lambda: second.told.recorded == ["b", "c"])


async def test_another_server_takes_over_what_a_failing_recorder_held(rabbit_sides: Sides) -> None:
    failing, worker = await rabbit_sides.server(RecordingServer(is_failing=True)), await rabbit_sides.worker()
    names = [str(number) for number in range(1200)]
    await asyncio.gather(*(worker.broker.report(event(name)) for name in names))
    await eventually(lambda: failing.told.failures)
    other = await rabbit_sides.server()
    await eventually(lambda: len(other.told.recorded) == 1200)
    assert names == other.told.recorded


@pytest.mark.parametrize("repetition", range(3))
async def test_order_outlives_servers_that_stop_with_events_in_their_hands(
    rabbit_sides: Sides, repetition: int
) -> None:
    class StuckServer(RecordingServer):
        async def events(self, events: Sequence[Event]) -> Sequence[RefusedEvent]:
            begun.set()
            await asyncio.wait_for(go_on.wait(), 20)
            return await super().events(events)

    begun, go_on = asyncio.Event(), asyncio.Event()
    stuck, worker = await rabbit_sides.server(StuckServer()), await rabbit_sides.worker()
    others = [await rabbit_sides.server(RecordingServer(is_failing=True)) for _ in range(2)]
    names = [str(number) for number in range(3000)]
    reports = [worker.broker.report(event(name)) for name in names]
    await asyncio.wait_for(begun.wait(), 10)
    stopping = asyncio.create_task(stuck.broker.stop())
    go_on.set()
    await stopping
    await asyncio.wait_for(asyncio.gather(*reports), 20)
    await eventually(lambda: all(other.told.failures for other in others))
    heir = others[0].told
    heir.is_failing = False
    await others[1].broker.stop()
    await eventually(lambda: len(stuck.told.recorded) + len(heir.recorded) == 3000)
    assert names == stuck.told.recorded + heir.recorded


async def test_events_wait_while_there_is_no_server(rabbit_sides: Sides) -> None:
    worker = await rabbit_sides.worker()
    await asyncio.wait_for(worker.broker.report(event("early")), 10)
    await worker.broker.stop()
    server = await rabbit_sides.server()
    await eventually(lambda: server.told.recorded == ["early"])


async def test_a_held_token_returns_when_its_worker_stops(rabbit_sides: Sides) -> None:
    server, first, second = await rabbit_sides.server(), await rabbit_sides.worker(), await rabbit_sides.worker()
    first.broker.consume([KIND])

    def is_held() -> bool:
        server.broker.offer(KIND)
        return bool(first.told.tokens)

    await eventually(is_held)
    await first.broker.stop()
    second.broker.consume([KIND])
    await eventually(lambda: second.told.tokens)


# Refusals


async def test_a_wrong_password_is_refused_in_one_line_that_does_not_tell_it(rabbit_node: RabbitNode) -> None:
    url = rabbit_node.url("%2F", password="hunter2")
    with pytest.raises(BrokerRefused) as refusal:
        await server_broker(url).start(RecordingServer())
    assert "credentials" in str(refusal.value)
    assert (False, False) == ("hunter2" in str(refusal.value), "\n" in str(refusal.value))


async def test_an_unknown_virtual_host_is_refused(rabbit_node: RabbitNode) -> None:
    with pytest.raises(BrokerRefused, match="virtual host"):
        await worker_broker(rabbit_node.url("nowhere")).start(RecordingWorker())


async def test_a_queue_of_another_shape_is_refused(rabbit_sides: Sides) -> None:
    await asyncio.to_thread(raw_rabbit.make_queue, rabbit_sides.url, TOPOLOGY.claims.name)
    with pytest.raises(BrokerRefused, match=r"rejoinder\.1\.claims"):
        await rabbit_sides.server()


@pytest.mark.parametrize(
    "url",
    [
        "amqp://",
        "amqp://user@host/",
        "amqp://user:se/cret@host/",
        "amqp://user:secret@host:port/",
        "amqp://user:secret@host/?heartbeat=secret",
        "amqp://user:secret@host/?ssl_options={",
        "amqp://[::1/",
    ],
)
async def test_a_malformed_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(BrokerRefused, match="malformed") as refusal:
        await server_broker(url).start(RecordingServer())
    assert "cret" not in str(refusal.value)


# Outages


def close_connections(node: RabbitNode) -> None:
    node.evaluate('[rabbit_networking:close_connection(Pid, "test") || Pid <- rabbit_networking:connections()]')


async def test_both_sides_recover_from_the_loss_of_their_connections(
    rabbit_sides: Sides, rabbit_node: RabbitNode
) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await assert_everything_works(server, worker, mark="before")
    close_connections(rabbit_node)
    await eventually(lambda: (server.told.connects, len(worker.told.connection_ids)) == (2, 2))
    await assert_everything_works(server, worker, mark="after")
    assert 2 == len(set(worker.told.connection_ids))
    assert (1, 1) == (len(server.told.outages), len(worker.told.outages))
    assert 2 == server.told.missed


async def test_a_token_of_a_lost_connection_is_answered_in_vain(rabbit_sides: Sides, rabbit_node: RabbitNode) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    worker.broker.consume([KIND])

    def is_held() -> bool:
        server.broker.offer(KIND)
        return bool(worker.told.tokens)

    await eventually(is_held)
    close_connections(rabbit_node)
    await eventually(lambda: len(worker.told.tokens) == 2)
    old, new = worker.told.tokens
    old.spend()
    old.give_back()
    new.spend()
    await assert_everything_works(server, worker, mark="after")
    assert 2 == len(worker.told.connection_ids)


async def test_reports_under_way_fail_when_the_connection_is_lost(rabbit_sides: Sides, rabbit_node: RabbitNode) -> None:
    worker = await rabbit_sides.worker()
    rabbit_node.raise_memory_alarm()
    try:
        reports = [worker.broker.report(event(str(number))) for number in range(3)]
        close_connections(rabbit_node)
        results = await asyncio.wait_for(asyncio.gather(*reports, return_exceptions=True), 20)
    finally:
        rabbit_node.clear_memory_alarm()
    assert [BrokerUnavailable] * 3 == [type(result) for result in results]


async def test_both_sides_recover_from_a_killed_node_and_events_survive(
    rabbit_sides: Sides, rabbit_node: RabbitNode
) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await server.broker.stop_consuming()
    await asyncio.wait_for(worker.broker.report(event("durable")), 10)
    await asyncio.to_thread(rabbit_node.kill)
    await eventually(lambda: server.told.outages and worker.told.outages)
    assert (False, None) == (server.broker.is_connected, worker.broker.connection_id)
    with pytest.raises(BrokerUnavailable):
        await server.broker.send("c", answer("a"))
    with pytest.raises(BrokerUnavailable):
        await worker.broker.report(event("a"))
    server.broker.offer(KIND)
    server.broker.announce(changes("a"))
    worker.broker.claim(claim("a"))
    late_server, late_worker = await rabbit_sides.server(), await rabbit_sides.worker()
    assert (1, None) == (len(late_server.told.outages), late_worker.broker.connection_id)
    await asyncio.to_thread(rabbit_node.start)
    await eventually(lambda: late_server.told.recorded == ["durable"], timeout=30)
    await eventually(lambda: worker.broker.connection_id and late_worker.broker.connection_id)
    await assert_everything_works(late_server, late_worker, mark="late")
    await assert_everything_works(late_server, worker, mark="early")
    assert [1, 1, 1, 1] == [len(side.told.outages) for side in (server, worker, late_server, late_worker)]
    assert late_server.told.missed


async def test_both_sides_notice_a_frozen_node_and_recover(rabbit_url: str, rabbit_node: RabbitNode) -> None:
    sides = Sides(f"{rabbit_url}?heartbeat=1", server_url=f"{rabbit_url}?heartbeat=1")
    server, worker = await sides.server(), await sides.worker()
    rabbit_node.freeze()
    try:
        await eventually(lambda: server.told.outages and worker.told.outages, timeout=30)
    finally:
        rabbit_node.thaw()
    await eventually(lambda: server.broker.is_connected and worker.broker.connection_id, timeout=30)
    await assert_everything_works(server, worker, mark="after")
    await sides.stop()


async def test_stopping_is_bounded_while_the_node_is_frozen(rabbit_url: str, rabbit_node: RabbitNode) -> None:
    sides = Sides(rabbit_url, server_url=rabbit_url)
    server, worker = await sides.server(), await sides.worker()
    began = time.monotonic()
    rabbit_node.freeze()
    try:
        await asyncio.gather(server.broker.stop(), worker.broker.stop())
    finally:
        rabbit_node.thaw()
    assert time.monotonic() - began < 20


async def test_a_blocked_broker_fails_sends_within_their_bound_and_goes_on_delivering(
    rabbit_url: str, rabbit_node: RabbitNode
) -> None:
    server = ServerSide(RabbitServerBroker(rabbit_url, send_seconds=0.5), RecordingServer(refused_ids={"odd"}))
    worker = WorkerSide(RabbitWorkerBroker(rabbit_url), RecordingWorker())
    await server.broker.start(server.told)
    await worker.broker.start(worker.told)
    rabbit_node.raise_memory_alarm()
    try:
        with pytest.raises(BrokerUnavailable):
            await server.broker.send(worker.connection_id, answer("a"))
        with pytest.raises(BrokerUnavailable):
            await server.broker.report(event("a"))
        waiting = worker.broker.report(event("patient"))
        assert (True, worker.connection_id) == (server.broker.is_connected, worker.broker.connection_id)
        assert not waiting.done()
    finally:
        rabbit_node.clear_memory_alarm()
    await asyncio.wait_for(waiting, 10)
    await assert_everything_works(server, worker, mark="after")
    assert ([], []) == (server.told.outages, worker.told.outages)
    await worker.broker.stop()
    await server.broker.stop()


async def test_the_recorder_goes_on_while_an_alarm_lets_nobody_write_dead_letters(
    rabbit_sides: Sides, rabbit_node: RabbitNode
) -> None:
    told = RecordingServer(is_failing=True, refused_ids={"odd"})
    server, worker = await rabbit_sides.server(told), await rabbit_sides.worker()
    await asyncio.gather(*(worker.broker.report(event(name)) for name in ["a", "odd", "b"]))
    rabbit_node.raise_memory_alarm()
    try:
        told.is_failing = False
        await eventually(lambda: told.recorded == ["a", "b"])
        letters = await eventually(lambda: raw_rabbit.take(rabbit_sides.url, TOPOLOGY.dead.name))
    finally:
        rabbit_node.clear_memory_alarm()
    assert [event("odd").SerializeToString()] == [letter.body for letter in letters]
    assert server.broker.is_connected


async def test_a_withdrawn_message_is_never_sent(rabbit_url: str, rabbit_node: RabbitNode) -> None:
    server = ServerSide(RabbitServerBroker(rabbit_url, send_seconds=0.5), RecordingServer())
    worker = WorkerSide(RabbitWorkerBroker(rabbit_url), RecordingWorker())
    await server.broker.start(server.told)
    await worker.broker.start(worker.told)
    rabbit_node.raise_memory_alarm()
    try:
        # The first one tells the server that it is blocked, and arrives; the second one waits for the end of that.
        for name in ["sent", "withdrawn"]:
            with pytest.raises(BrokerUnavailable):
                await server.broker.send(worker.connection_id, answer(name))
    finally:
        rabbit_node.clear_memory_alarm()
    await eventually(lambda: worker.told.answers == ["sent"])
    await server.broker.send(worker.connection_id, answer("last"))
    await eventually(lambda: worker.told.answers == ["sent", "last"])
    await worker.broker.stop()
    await server.broker.stop()


async def test_both_sides_recover_from_closed_channels(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await assert_everything_works(server, worker, mark="before")
    # RabbitMQ closes a channel on which an unknown delivery is acknowledged.
    for inbox in [server.broker._session._events._inbox, server.broker._session._claims._inbox]:  # type: ignore[attr-defined]
        inbox._channel.answer("basic_ack", 999_999)
    worker.told.tokens[-1]._delivery.channel.answer("basic_ack", 999_999)  # type: ignore[attr-defined]
    await eventually(lambda: (server.told.connects, len(worker.told.connection_ids)) == (2, 2))
    await assert_everything_works(server, worker, mark="after")


@pytest.mark.parametrize(("consumer", "method"), [(TokenConsumers, "_follow"), (ClaimsConsumer, "_answer")])
async def test_a_consumer_that_fails_begins_a_new_connection(
    rabbit_sides: Sides, monkeypatch: pytest.MonkeyPatch, consumer: type, method: str
) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()

    async def fail(*_: object) -> None:
        monkeypatch.undo()
        raise ValueError("a bug")

    monkeypatch.setattr(consumer, method, fail)
    worker.broker.claim(claim("lost"))
    worker.broker.consume([KIND])
    await eventually(lambda: server.told.connects + len(worker.told.connection_ids) == 3)
    await assert_everything_works(server, worker, mark="after")


async def test_the_recorder_goes_on_when_only_its_channel_is_closed(rabbit_sides: Sides) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await assert_everything_works(server, worker, mark="before")
    server.broker._session._events._inbox._channel.answer("basic_ack", 999_999)  # type: ignore[attr-defined]
    await assert_everything_works(server, worker, mark="after")
    assert 1 == server.told.connects


@pytest.mark.parametrize("queue", [TOPOLOGY.events_name, TOPOLOGY.claims.name, TOPOLOGY.work(KIND).name])
async def test_a_deleted_queue_is_made_again(rabbit_sides: Sides, queue: str) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    await assert_everything_works(server, worker, mark="before")
    await asyncio.to_thread(raw_rabbit.delete_queue, rabbit_sides.url, queue)

    def exists_again() -> bool:
        spend_all(worker)
        with contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            raw_rabbit.count(rabbit_sides.url, queue)
            return True
        return False

    await eventually(exists_again)
    await eventually(lambda: server.broker.is_connected)
    await assert_everything_works(server, worker, mark="after")


async def test_a_deleted_worker_queue_begins_a_new_connection(rabbit_sides: Sides, rabbit_node: RabbitNode) -> None:
    server, worker = await rabbit_sides.server(), await rabbit_sides.worker()
    vhost = rabbit_sides.url.rpartition("/")[2]
    queue = TOPOLOGY.worker_name(worker.connection_id)
    rabbit_node.evaluate(
        f'{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),'
        'rabbit_amqqueue:delete(Q, false, false, <<"test">>)'
    )
    await eventually(lambda: len(worker.told.connection_ids) == 2)
    await assert_everything_works(server, worker, mark="after")


# Layout


async def test_an_events_queue_with_older_arguments_is_used_as_it_is(rabbit_url: str) -> None:
    pair = await Pair.open(read_url(rabbit_url), name="test")
    try:
        await declare_events(pair, TOPOLOGY)
        # What a broker of version 4 prefers is refused for a queue that an older one has made.
        pair.__class__ = NewerPair
        await declare_events(pair, TOPOLOGY)
    finally:
        await pair.close()


class NewerPair(Pair):
    @property
    def version(self) -> tuple[int, ...]:
        return (4, 0, 0)


def test_only_brokers_that_know_it_are_asked_to_switch_off_the_delivery_limit() -> None:
    assert [False] == ["x-delivery-limit" in queue.arguments for queue in TOPOLOGY.events((3, 10, 8))]
    assert [True, False] == ["x-delivery-limit" in queue.arguments for queue in TOPOLOGY.events((4, 1, 0))]


def test_queues_and_types_with_dots_do_not_share_a_queue() -> None:
    assert TOPOLOGY.work(Kind("a", "b.c")) != TOPOLOGY.work(Kind("a.b", "c"))


def test_names_show_queue_and_type() -> None:
    assert "rejoinder.1.work.reports.reports.generate" == TOPOLOGY.work(Kind("reports", "reports.generate")).name


def test_long_names_fit_into_amqp() -> None:
    names = {TOPOLOGY.work(Kind("q" * 128, "t" * 127 + end)).name for end in "ab"}
    assert (2, True) == (len(names), all(len(name) <= 255 for name in names))


def test_importing_the_package_does_without_pika() -> None:
    program = "import sys, rejoinder_broker; sys.exit('pika' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
