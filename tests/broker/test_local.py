"""What only the local broker does, and what is done to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rejoinder.worker.v1.worker_pb2 import LocalFrame, LocalHello, LocalReport
from rejoinder_broker import BrokerRefused, BrokerUnavailable, LocalServerBroker, LocalWorkerBroker, server_broker
from rejoinder_broker.local.events import MOST_WAITING
from tests.broker.conftest import Sides
from tests.support.broker_sides import RecordingServer, RecordingWorker, ServerSide, WorkerSide, answer, claim, event
from tests.support.waiting import eventually


def pack(frame: LocalFrame) -> bytes:
    return pack_bytes(frame.SerializeToString())


def pack_bytes(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@contextlib.asynccontextmanager
async def raw_connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(url.removeprefix("local://"))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def permissions(path: Path) -> int:
    return path.stat().st_mode & 0o777


def exists(path: Path) -> bool:
    return path.exists()


# Addresses


async def test_the_server_chooses_a_private_folder_and_removes_it() -> None:
    server, worker = LocalServerBroker("local://"), RecordingWorker()
    await server.start(RecordingServer())
    socket = Path(server.url.removeprefix("local://"))
    assert (0o700, 0o600) == (permissions(socket.parent), permissions(socket))
    side = LocalWorkerBroker(server.url)
    await side.start(worker)
    assert [side.connection_id] == worker.connection_ids
    await side.stop()
    await server.stop()
    assert not exists(socket.parent)


async def test_a_second_server_on_a_socket_is_refused(local_sides: Sides) -> None:
    server = await local_sides.server()
    with pytest.raises(BrokerRefused, match="Another server"):
        await LocalServerBroker(local_sides.url).start(RecordingServer())
    worker = await local_sides.worker()
    assert await server.broker.send(worker.connection_id, answer("a")) is True


async def test_the_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    url = f"local://{tmp_path}/broker"
    killed = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), tmp_path / "broker")
    killed.close()
    await killed.wait_closed()
    assert exists(tmp_path / "broker")
    server = LocalServerBroker(url)
    await server.start(RecordingServer())
    await server.stop()


async def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokerRefused, match="No such file"):
        await LocalServerBroker(f"local://{tmp_path}/none/broker").start(RecordingServer())


@pytest.mark.parametrize("url", ["local://host/path", "local:///path?x=1", f"local:///{'long' * 30}"])
async def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(BrokerRefused):
        await LocalServerBroker(url).start(RecordingServer())


async def test_a_worker_needs_a_path() -> None:
    with pytest.raises(BrokerRefused, match="URL that its server shows"):
        await LocalWorkerBroker("local://").start(RecordingWorker())


@pytest.mark.parametrize("url", ["redis://h", "local", "", "AMQP:h"])
def test_an_unknown_scheme_is_refused_naming_the_known_ones(url: str) -> None:
    with pytest.raises(BrokerRefused, match="local://, amqp:// and amqps://"):
        server_broker(url)


# Garbage


@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff", b"", LocalFrame(hello=LocalHello(connection_id="again")).SerializeToString()],
)
async def test_an_unreadable_frame_is_counted_and_stops_nothing(local_sides: Sides, garbage: bytes) -> None:
    server = await local_sides.server()
    async with raw_connection(local_sides.url) as (_, writer):
        writer.write(pack(LocalFrame(hello=LocalHello(connection_id="raw"))))
        writer.write(pack_bytes(garbage))
        writer.write(pack(LocalFrame(claim=claim("after"))))
        await eventually(lambda: server.told.claim_ids == ["after"])
    assert ["events"] == server.told.unreadables


async def test_an_event_of_no_known_kind_is_counted_and_confirmed_with_the_next(local_sides: Sides) -> None:
    server = await local_sides.server()
    async with raw_connection(local_sides.url) as (reader, writer):
        writer.write(pack(LocalFrame(hello=LocalHello(connection_id="raw"))))
        writer.write(pack(LocalFrame(report=LocalReport(number=1))))
        writer.write(pack(LocalFrame(report=LocalReport(number=2, event=event("after")))))
        confirmed = LocalFrame()
        while confirmed.confirm.number < 2:
            size = int.from_bytes(await asyncio.wait_for(reader.readexactly(4), 10), "big")
            confirmed = LocalFrame.FromString(await reader.readexactly(size))
    assert (["events"], ["after"]) == (server.told.unreadables, server.told.recorded)


async def test_a_claim_without_a_name_is_counted(local_sides: Sides) -> None:
    server, worker = await local_sides.server(), await local_sides.worker()
    worker.broker.claim(claim(""))
    worker.broker.claim(claim("after"))
    await eventually(lambda: server.told.claim_ids == ["after"])
    assert ["claims"] == server.told.unreadables


async def test_a_frame_over_the_limit_ends_its_connection_only(local_sides: Sides) -> None:
    server, worker = await local_sides.server(), await local_sides.worker()
    async with raw_connection(local_sides.url) as (reader, writer):
        writer.write(pack(LocalFrame(hello=LocalHello(connection_id="raw"))))
        writer.write((9 * 1024 * 1024).to_bytes(4, "big"))
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
    assert await server.broker.send(worker.connection_id, answer("a")) is True


async def test_a_second_connection_of_one_name_is_ended_and_the_first_stays(local_sides: Sides) -> None:
    server, worker = await local_sides.server(), await local_sides.worker()
    async with raw_connection(local_sides.url) as (reader, writer):
        writer.write(pack(LocalFrame(hello=LocalHello(connection_id=worker.connection_id))))
        assert b"" == await asyncio.wait_for(reader.read(), 10)
    assert await server.broker.send(worker.connection_id, answer("a")) is True
    await eventually(lambda: worker.told.answers == ["a"])


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(local_sides: Sides) -> None:
    server, worker = await local_sides.server(), await local_sides.worker()
    with pytest.raises(BrokerRefused, match="larger"):
        await server.broker.send(worker.connection_id, answer("a" * 9 * 1024 * 1024))
    assert await server.broker.send(worker.connection_id, answer("a")) is True


async def test_a_connection_that_does_not_read_is_ended(local_sides: Sides) -> None:
    server = await local_sides.server()
    async with raw_connection(local_sides.url) as (_, writer):
        writer.write(pack(LocalFrame(hello=LocalHello(connection_id="raw"))))

        async def is_ended() -> bool:
            return not await server.broker.send("raw", answer("a" * 4 * 1024 * 1024))

        await eventually(lambda: server.broker._connections)  # type: ignore[attr-defined]
        await eventually(is_ended)  # type: ignore[arg-type]  # mypy cannot tell which way an async check goes


# Outages


async def test_a_worker_waits_for_its_server_and_says_so_once(tmp_path: Path) -> None:
    url = f"local://{tmp_path}/broker"
    worker = WorkerSide(LocalWorkerBroker(url), RecordingWorker())
    await worker.broker.start(worker.told)
    assert (1, None) == (len(worker.told.outages), worker.broker.connection_id)
    server = ServerSide(LocalServerBroker(url), RecordingServer())
    await server.broker.start(server.told)
    await eventually(lambda: worker.broker.connection_id)
    await asyncio.wait_for(worker.broker.report(event("a")), 10)
    assert (1, ["a"]) == (len(worker.told.outages), server.told.recorded)
    await worker.broker.stop()
    await server.broker.stop()


async def test_a_worker_reconnects_under_a_new_name_and_its_open_reports_fail(tmp_path: Path) -> None:
    url = f"local://{tmp_path}/broker"
    first = ServerSide(LocalServerBroker(url), RecordingServer(is_failing=True))
    await first.broker.start(first.told)
    worker = WorkerSide(LocalWorkerBroker(url), RecordingWorker())
    await worker.broker.start(worker.told)
    report = worker.broker.report(event("a"))
    await eventually(lambda: first.told.failures)
    await first.broker.stop()
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(report, 10)
    second = ServerSide(LocalServerBroker(url), RecordingServer())
    await second.broker.start(second.told)
    await eventually(lambda: len(worker.told.connection_ids) == 2)
    assert (2, 1) == (len(set(worker.told.connection_ids)), len(worker.told.outages))
    await worker.broker.stop()
    await second.broker.stop()


async def test_a_server_s_report_fails_when_it_is_not_recorded_in_time(tmp_path: Path) -> None:
    server = LocalServerBroker(f"local://{tmp_path}/broker", report_seconds=0.1)
    await server.start(RecordingServer(is_failing=True))
    with pytest.raises(BrokerUnavailable):
        await server.report(event("a"))
    await server.stop()


async def test_a_backlog_of_events_holds_reporters_back_and_loses_nothing(local_sides: Sides) -> None:
    server, worker = await local_sides.server(RecordingServer(is_failing=True)), await local_sides.worker()
    reports = [worker.broker.report(event(str(number))) for number in range(5000)]
    await eventually(lambda: server.told.failures)
    # The queue is bounded: what it does not take stays with the reporter.
    assert len(server.broker._events._waiting) <= MOST_WAITING  # type: ignore[attr-defined]
    server.told.is_failing = False
    await asyncio.wait_for(asyncio.gather(*reports), 20)
    assert [str(number) for number in range(5000)] == server.told.recorded
