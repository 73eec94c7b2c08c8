"""Broker and store that are not there for a while: what can be answered is answered, and the rest comes by itself."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rejoinder.v1.operation_pb2 import Operation, Payload
from rejoinder.v1.operation_service_pb2 import (
    CancelOperationRequest,
    GetStatusRequest,
    ListOperationsRequest,
    SubmitRequest,
    WatchStatusRequest,
)
from tests.support.deployment import HANDLERS
from tests.support.postgres import PostgresCluster
from tests.support.processes import Process, Server, Worker
from tests.support.rabbitmq import RabbitNode
from tests.support.raw_calls import RawCaller, raw_caller
from tests.support.waiting import eventually_sync

BROKER_GONE = "broker does not answer; submits are accepted and wait"
BROKER_BACK = "broker answers"
STORE_GONE = "store does not answer; calls that need it are refused"
STORE_BACK = "store answers"
WORKER_WAITS = "the broker is unreachable; waiting for it"
BOUND = 30
DEADLINE = 2.0


@dataclass(frozen=True)
class Site:
    """A server and a worker on a broker and a store of their own, which tests stop and start."""

    node: RabbitNode
    cluster: PostgresCluster
    server: Server
    worker: Worker
    caller: RawCaller

    def submit(self, type: str = "test.echo", json: str = "1") -> Operation:
        """Submit within a short deadline."""
        request = SubmitRequest(type=type, payload=Payload(json=json))
        operation: Operation = self.caller.stub.Submit(request, timeout=DEADLINE).operation
        return operation

    def health(self) -> tuple[str, str, str]:
        """What the whole server, its store and its dispatch say of themselves."""
        return self.caller.health(), self.caller.health("rejoinder.store"), self.caller.health("rejoinder.dispatch")

    def await_health(self, *expected: str) -> None:
        eventually_sync(lambda: self.health() == expected, timeout=BOUND)

    def await_state(self, operation: Operation, state: Operation.State) -> None:
        eventually_sync(lambda: self.caller.status(operation).state == state, timeout=BOUND)


def said(process: Process, event: str) -> int:
    return sum(record.get("event") == event for record in process.records())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose broker has not been started yet."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "node").mkdir()
    node, cluster = RabbitNode(folder / "node"), PostgresCluster()
    try:
        cluster.start()
        broker = f"--broker={node.url('%2f')}"
        store = f"--store={cluster.new_database()}"
        short = ("--marker-interval=500ms", "--schedule-interval=1s")
        with (
            Server(store, broker, *short, log=folder / "server.log") as server,
            Worker(HANDLERS, broker, "--processes=1", "--threads=2", log=folder / "worker.log") as worker,
            raw_caller(server.address) as caller,
        ):
            yield Site(node, cluster, server, worker, caller)
    finally:
        node.close()
        cluster.remove()


def test_without_a_broker_at_the_start_submits_are_taken_and_run_once_it_is_there(site: Site) -> None:
    site.await_health("SERVING", "SERVING", "NOT_SERVING")
    operations = [site.submit(json=str(index)) for index in range(5)]
    assert {Operation.STATE_ACCEPTED} == {site.caller.status(each).state for each in operations}
    site.worker.await_record(WORKER_WAITS)
    site.node.start()
    assert [str(index) for index in range(5)] == [site.caller.finished(each).result.json for each in operations]
    site.await_health("SERVING", "SERVING", "SERVING")
    assert (1, 1, 1) == (
        said(site.server, BROKER_GONE),
        said(site.server, BROKER_BACK),
        said(site.worker, WORKER_WAITS),
    )


def test_an_outage_of_the_broker_is_told_once_and_costs_only_time(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    running = site.submit("test.hold", f'{{"gate": "{gate}"}}')
    site.await_state(running, Operation.STATE_RUNNING)
    told = said(site.server, BROKER_GONE), said(site.worker, WORKER_WAITS)
    site.node.stop()
    site.await_health("SERVING", "SERVING", "NOT_SERVING")
    gate.touch()
    operations = [site.submit(json=str(index)) for index in range(5)]
    cancelled = site.submit()
    site.caller.stub.CancelOperation(cancel(cancelled), timeout=DEADLINE)
    eventually_sync(lambda: said(site.worker, WORKER_WAITS) == told[1] + 1, timeout=BOUND)
    site.node.start()
    finished = [site.caller.finished(each) for each in (running, *operations)]
    assert ['"released"', *map(str, range(5))] == [each.result.json for each in finished]
    assert {1} == {each.attempt for each in finished}
    assert (Operation.STATE_CANCELLED, 0) == (
        site.caller.status(cancelled).state,
        site.caller.status(cancelled).attempt,
    )
    site.await_health("SERVING", "SERVING", "SERVING")
    assert (told[0] + 1, told[1] + 1) == (said(site.server, BROKER_GONE), said(site.worker, WORKER_WAITS))


def test_during_an_alarm_of_the_broker_submits_are_taken_and_dispatch_says_that_it_stands_still(site: Site) -> None:
    site.node.raise_memory_alarm()
    site.await_health("SERVING", "SERVING", "NOT_SERVING")
    operations = [site.submit(json=str(index)) for index in range(5)]
    site.node.clear_memory_alarm()
    assert [str(index) for index in range(5)] == [site.caller.finished(each).result.json for each in operations]
    site.await_health("SERVING", "SERVING", "SERVING")


def test_without_its_store_a_server_says_so_and_recovers_by_itself(site: Site, tmp_path: Path) -> None:
    site.await_health("SERVING", "SERVING", "SERVING")
    gate = tmp_path / "gate"
    running = site.submit("test.hold", f'{{"gate": "{gate}"}}')
    site.await_state(running, Operation.STATE_RUNNING)
    site.cluster.stop()
    for method, request in (
        ("Submit", SubmitRequest(type="test.echo", request_id="during")),
        ("GetStatus", GetStatusRequest(operation_id=running.operation_id)),
        ("CancelOperation", cancel(running)),
        ("WatchStatus", WatchStatusRequest(operation_id=running.operation_id)),
        ("ListOperations", ListOperationsRequest()),
    ):
        refusal = site.caller.refused(method, request)
        assert ("UNAVAILABLE", "STORE_UNAVAILABLE", 1.0) == (refusal.code, refusal.reason, refusal.retry_seconds)
        told = "the server's store does not answer; try again with the same request_id (STORE_UNAVAILABLE)"
        assert told == refusal.message
    site.await_health("SERVING", "NOT_SERVING", "SERVING")
    gate.touch()
    site.cluster.start()
    finished = site.caller.finished(running)
    assert ('"released"', 1) == (finished.result.json, finished.attempt)
    site.await_health("SERVING", "SERVING", "SERVING")
    assert (1, 1) == (said(site.server, STORE_GONE), said(site.server, STORE_BACK))
    again = site.caller.stub.Submit(SubmitRequest(type="test.echo", request_id="during"))
    assert not again.deduplicated
    assert "null" == site.caller.finished(again.operation).result.json


def test_a_frozen_store_is_told_within_its_timeout(site: Site) -> None:
    site.cluster.freeze()
    try:
        started = time.monotonic()
        refusal = site.caller.refused("Submit", SubmitRequest(type="test.echo", request_id="frozen"))
        assert ("UNAVAILABLE", "STORE_UNAVAILABLE") == (refusal.code, refusal.reason)
        assert time.monotonic() - started < 15
        site.await_health("SERVING", "NOT_SERVING", "SERVING")
    finally:
        site.cluster.thaw()
    site.await_health("SERVING", "SERVING", "SERVING")
    answer = site.caller.stub.Submit(SubmitRequest(type="test.echo", request_id="frozen"))
    assert "null" == site.caller.finished(answer.operation).result.json


def test_after_all_of_it_nothing_was_printed_that_nobody_expects(site: Site) -> None:
    assert site.server.is_running
    assert site.worker.is_running
    for process in (site.server, site.worker):
        assert "Traceback" not in process.text()
        assert "guest:guest" not in process.text()
    assert (0, 0) == (site.worker.terminate(), site.server.terminate())


def cancel(operation: Operation) -> CancelOperationRequest:
    return CancelOperationRequest(operation_id=operation.operation_id)
