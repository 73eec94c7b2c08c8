"""/metrics shows what the operations guide lists, and the values move when something happens."""

import json
import socket
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from rejoinder.worker.v1.worker_pb2 import Claim, Event, Fence, LocalFrame, LocalHello, LocalReport, ProgressReport
from rejoinder_client import Client, NotFound
from rejoinder_server.metrics import Metrics
from tests.support.documents import read, rows, section
from tests.support.processes import Server
from tests.support.waiting import eventually_sync

# Gauges that only the store knows are counted every five seconds.
COUNTED_SECONDS = 20.0

Sample = Callable[..., float]


@pytest.fixture(scope="module")
def broker() -> Iterator[Path]:
    """The path of the broker's socket, in a folder whose name is short enough for one."""
    with tempfile.TemporaryDirectory(prefix="rejoinder-") as folder:
        yield Path(folder) / "broker"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, broker: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("metrics")
    arguments = [
        f"--store=sqlite:///{folder}/rejoinder.db",
        f"--broker=local://{broker}",
        "--handlers=tests.support.handlers",
        "--unknown-types=accept",
        "--claim-interval=500ms",
        "--marker-interval=500ms",
        "--lease=3s",
    ]
    with Server(*arguments, log=folder / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def sample(server: Server) -> Sample:
    """Return a function that reads a sample; 0 while there is none."""

    def read_now(name: str, **labels: str) -> float:
        for family in text_string_to_metric_families(_scrape(server)):
            for found in family.samples:
                if found.name == name and found.labels == labels:
                    return found.value
        return 0.0

    return read_now


# The guide.


def test_the_guide_lists_every_series_with_its_kind_and_labels() -> None:
    told = {row[0]: (row[1].partition(",")[0], row[2]) for row in _guide()}

    has = {}
    for series in vars(Metrics()).values():
        if isinstance(series, MetricWrapperBase):
            name = series._name + ("_total" if series._type == "counter" else "")
            has[name] = (series._type, ", ".join(series._labelnames))
    assert has == told


def test_a_server_shows_every_series_of_the_guide(server: Server) -> None:
    shown = _scrape(server)

    assert [] == [row[0] for row in _guide() if f"# TYPE {row[0]} " not in shown]


def test_the_guide_s_alerts_are_about_series_that_there_are() -> None:
    listed = {row[0] for row in _guide()}
    alerts = [row[0] for row in rows(section(read("docs/operations.md"), "What to alert on"), "when")]

    assert len(alerts) > 5
    names = {word.partition("{")[0].strip(",") for alert in alerts for word in alert.split()}
    assert set() == {name for name in names if name.startswith("rejoinder_")} - listed


# The values.


def test_a_call_is_counted_by_method_and_code(client: Client, sample: Sample) -> None:
    fine, missing = ({"method": "GetStatus", "code": code} for code in ("OK", "NOT_FOUND"))
    before = sample("rejoinder_requests_total", **fine), sample("rejoinder_requests_total", **missing)
    handle = client.submit("test.echo")
    handle.status()
    with pytest.raises(NotFound):
        client.attach("nobody").status()

    assert before[0] + 1 == sample("rejoinder_requests_total", **fine)
    assert before[1] + 1 == sample("rejoinder_requests_total", **missing)
    assert sample("rejoinder_request_seconds_count", method="GetStatus") >= 2


def test_an_operation_s_way_is_counted(client: Client, sample: Sample) -> None:
    def counts() -> list[float]:
        return [
            sample("rejoinder_submitted_total", type="test.work"),
            sample("rejoinder_queue_seconds_count", type="test.work"),
            sample("rejoinder_run_seconds_count", type="test.work"),
            sample("rejoinder_finished_total", type="test.work", state="SUCCEEDED"),
        ]

    before = counts()
    tokens = sample("rejoinder_tokens_offered_total")
    granted = sample("rejoinder_claims_total", answer="granted")
    sent = sample("rejoinder_grants_total", fate="sent")
    recorded = sample("rejoinder_events_recorded_total", kind="succeeded")
    client.submit("test.work", {"seconds": 0.05}, request_id="way").result(timeout=20)

    eventually_sync(lambda: counts() == [count + 1 for count in before])
    assert sample("rejoinder_run_seconds_sum", type="test.work") >= 0.05
    assert sample("rejoinder_tokens_offered_total") > tokens
    assert sample("rejoinder_claims_total", answer="granted") > granted
    assert sample("rejoinder_grants_total", fate="sent") == sent + 1
    assert sample("rejoinder_events_recorded_total", kind="succeeded") == recorded + 1


def test_a_second_submit_of_a_request_id_is_counted_as_deduplicated(client: Client, sample: Sample) -> None:
    before = sample("rejoinder_deduplicated_total")
    for _ in range(2):
        client.submit("test.echo", request_id="twice")

    assert before + 1 == sample("rejoinder_deduplicated_total")


def test_claims_for_which_nothing_is_due_are_counted_as_empty(sample: Sample) -> None:
    before = sample("rejoinder_claims_total", answer="empty")

    eventually_sync(lambda: sample("rejoinder_claims_total", answer="empty") > before + 1)


def test_operations_are_counted_by_state_and_the_oldest_that_waits_is_known(client: Client, sample: Sample) -> None:
    waiting = sample("rejoinder_operations", state="ACCEPTED")
    handle = client.submit("nobody.serves_this")

    kind = {"queue": "default", "type": "nobody.serves_this"}
    eventually_sync(lambda: sample("rejoinder_waiting", **kind) == 1, timeout=COUNTED_SECONDS)
    assert waiting + 1 == sample("rejoinder_operations", state="ACCEPTED")
    assert sample("rejoinder_oldest_waiting_seconds") > 0

    handle.cancel()
    eventually_sync(lambda: sample("rejoinder_oldest_waiting_seconds") == 0, timeout=COUNTED_SECONDS)
    assert sample("rejoinder_operations", state="CANCELLED") >= 1


def test_a_watch_is_counted_while_it_is_open(client: Client, sample: Sample) -> None:
    before = sample("rejoinder_watchers")
    handle = client.submit("test.echo", delay=timedelta(hours=1))
    watch = handle.watch()
    next(watch)

    assert before + 1 == sample("rejoinder_watchers")
    watch.close()
    eventually_sync(lambda: sample("rejoinder_watchers") == before)


def test_live_worker_processes_and_their_slots_are_counted(sample: Sample) -> None:
    eventually_sync(lambda: sample("rejoinder_workers") == 1, timeout=COUNTED_SECONDS)

    assert 8 == sample("rejoinder_worker_slots", state="total")
    assert 1 == sample("rejoinder_broker_connected")
    assert 0 == sample("rejoinder_zombies")


def test_the_watermark_follows_the_markers(sample: Sample) -> None:
    recorded = sample("rejoinder_events_recorded_total", kind="marker")

    eventually_sync(lambda: sample("rejoinder_events_recorded_total", kind="marker") > recorded)
    assert sample("rejoinder_watermark_lag_seconds") < 10


def test_a_late_report_is_dropped_and_counted(client: Client, broker: Path, sample: Sample) -> None:
    handle = client.submit("test.echo")
    handle.result(timeout=20)
    before = sample("rejoinder_late_reports_dropped_total")
    fence = Fence(namespace="default", operation_id=handle.id, uid=handle.status().uid, attempt=1, nonce="other")
    report = Event(worker="late", progress=ProgressReport(fence=fence, number=9))

    with _connected(broker, LocalFrame(report=LocalReport(number=1, event=report)).SerializeToString()):
        eventually_sync(lambda: sample("rejoinder_late_reports_dropped_total") == before + 1)
    assert "SUCCEEDED" == handle.status().state


def test_messages_that_cannot_be_read_are_counted_by_source(broker: Path, sample: Sample) -> None:
    def counts() -> list[float]:
        return [sample("rejoinder_unreadable_messages_total", source=source) for source in ("events", "claims")]

    before = counts()
    with _connected(broker, b"\xff garbage", LocalFrame(claim=Claim(worker="nameless")).SerializeToString()):
        eventually_sync(lambda: counts() == [count + 1 for count in before])


def test_a_claim_that_makes_no_sense_is_counted_as_invalid(broker: Path, sample: Sample) -> None:
    before = sample("rejoinder_claims_total", answer="invalid")
    claim = Claim(claim_id="c", worker="w", connection_id="mine", queue="test", types=["test.echo"], free_slots=0)

    with _connected(broker, LocalFrame(claim=claim).SerializeToString()):
        eventually_sync(lambda: sample("rejoinder_claims_total", answer="invalid") > before)


def test_an_attempt_that_fails_is_counted_by_what_followed(client: Client, sample: Sample) -> None:
    def counts() -> list[float]:
        return [sample("rejoinder_attempts_ended_total", reason=reason) for reason in ("RETRY", "FAILED")]

    before = counts()
    handle = client.submit("test.fail", json.loads("null"))
    assert "FAILED" == list(handle.watch(timeout=20))[-1].operation.state  # type: ignore[union-attr] # the terminal one has it

    assert [count + 1 for count in before] == counts()


def _guide() -> Iterator[list[str]]:
    return rows(section(read("docs/operations.md"), "Metrics"), "series")


def _scrape(server: Server) -> str:
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


@contextmanager
def _connected(path: Path, *frames: bytes) -> Iterator[None]:
    """Send frames over a connection of one's own to the local broker, as no worker of ours would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        hello = LocalFrame(hello=LocalHello(connection_id="mine")).SerializeToString()
        for frame in (hello, *frames):
            connection.sendall(len(frame).to_bytes(4, "big") + frame)
        yield
