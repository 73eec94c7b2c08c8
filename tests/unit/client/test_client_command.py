"""The command against a scripted service, in this process; Ctrl-C against a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from rejoinder.v1 import operation_pb2, operation_service_pb2
from rejoinder_client.command.program import program
from tests.support.scripted_service import (
    Fail,
    Hang,
    ScriptedService,
    State,
    error_info,
    heartbeat,
    operation,
    progress,
    serve,
    snapshot,
    transition,
)

DONE = transition(9, 2, State.STATE_SUCCEEDED, reason="SUCCEEDED")
STATUS = operation_service_pb2.GetStatusResponse(operation=operation())
Run = Callable[..., Result]


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with serve() as running:
        running.answer(
            "Submit",
            operation_service_pb2.SubmitResponse(operation=operation(State.STATE_ACCEPTED), cursor="c1"),
        )
        running.answer("GetStatus", STATUS, STATUS)
        yield running


@pytest.fixture
def run(service: ScriptedService) -> Run:
    """Return a function that runs the command with these arguments."""

    def invoke(*arguments: str, **options: Any) -> Result:
        return CliRunner(env={"REJOINDER_SERVER": service.address}).invoke(program, arguments, **options)

    return invoke


def test_submit_sends_what_was_typed(service: ScriptedService, run: Run) -> None:
    result = run(
        *("submit", "demo.work", '{"a" : 1}', "--request-id", "r", "--operation-id", "o", "--correlation-id", "c"),
        *("--label", "k=v=w", "--label", "l=", "--priority", "-5", "--delay", "1m30s", "--namespace", "team"),
        *("--total-timeout", "1h", "--max-attempts", "2", "-o", "json"),
    )
    assert (0, "op", "") == (result.exit_code, json.loads(result.stdout)["operation_id"], result.stderr)
    request = service.seen("Submit")[0]
    expected = operation_service_pb2.SubmitRequest(
        namespace="team",
        type="demo.work",
        payload=operation_pb2.Payload(json='{"a" : 1}'),
        request_id="r",
        operation_id="o",
        correlation_id="c",
        labels={"k": "v=w", "l": ""},
        priority=-5,
    )
    expected.delay.seconds = 90
    expected.timeouts.total_timeout.seconds = 3600
    expected.retry_policy.max_attempts = 2
    assert expected == request


def test_submit_reads_standard_input(service: ScriptedService, run: Run) -> None:
    run("submit", "demo.work", "-", input='{"from":"stdin"}')
    assert '{"from":"stdin"}' == service.seen("Submit")[0].payload.json


def test_submit_reads_a_file(service: ScriptedService, run: Run, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('"é"', encoding="utf-8")
    run("submit", "demo.work", f"@{tmp_path / 'request.json'}")
    assert '"é"' == service.seen("Submit")[0].payload.json


def test_submit_and_wait_prints_the_operation_and_tells_its_progress_on_stderr(
    service: ScriptedService, run: Run
) -> None:
    service.stream(snapshot(1), progress(2, 3, 10), DONE)
    result = run("submit", "demo.work", "--wait", "-o", "json")
    assert (0, {"json": {"n": 1}}) == (result.exit_code, json.loads(result.stdout)["result"])
    assert ["op  RUNNING", "op  30% 3/10 pages: reading", "op  SUCCEEDED"] == result.stderr.splitlines()


def test_watch_prints_each_update_as_one_json_line(service: ScriptedService, run: Run) -> None:
    service.stream(snapshot(1), heartbeat(1), progress(2), DONE)
    result = run("watch", "op", "-o", "json")
    assert ["snapshot", "progress", "transition"] == [json.loads(line)["kind"] for line in result.stdout.splitlines()]
    assert "" == result.stderr


def test_watch_prints_each_update_as_one_line(service: ScriptedService, run: Run) -> None:
    service.stream(snapshot(1), progress(2, 5, 10), DONE)
    lines = run("watch", "op").stdout.splitlines()
    assert [
        "RUNNING",
        "PROGRESS  50% 5/10 pages: reading",
        "SUCCEEDED  SUCCEEDED  attempt 1",
        '{"n":1}',
    ] == [line.strip() for line in lines]


def test_a_lost_connection_is_told_once_and_the_watch_goes_on(service: ScriptedService, run: Run) -> None:
    for _ in range(3):
        service.stream(snapshot(1), Fail(grpc.StatusCode.UNAVAILABLE, "Busy (STORE_UNAVAILABLE)", [error_info("X")]))
    service.stream(DONE)
    result = run("wait", "op", "-o", "json")
    assert 0 == result.exit_code
    assert (result.stderr.splitlines()) == [
        "op  RUNNING",
        "connection lost, resuming: Busy (STORE_UNAVAILABLE) (X)",
        "op  SUCCEEDED",
    ]


def test_watch_from_a_cursor_at_the_end_answers_how_it_ended(service: ScriptedService, run: Run) -> None:
    service.answers["GetStatus"].clear()
    ended = operation_service_pb2.GetStatusResponse(operation=operation(State.STATE_FAILED))
    service.answer("GetStatus", ended, ended)
    service.stream(heartbeat(9))
    service.stream(snapshot(9, State.STATE_FAILED))
    assert (1, "") == ((result := run("watch", "op", "--cursor", "c9")).exit_code, result.stdout)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.STATE_SUCCEEDED, 0),
        (State.STATE_FAILED, 1),
        (State.STATE_CANCELLED, 3),
        (State.STATE_TIMED_OUT, 3),
    ],
)
def test_the_exit_status_tells_how_the_operation_ended(
    service: ScriptedService, run: Run, state: State, expected: int
) -> None:
    service.stream(snapshot(1, state))
    assert expected == run("wait", "op").exit_code


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "UNKNOWN", 1),
        (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", 1),
        (grpc.StatusCode.FAILED_PRECONDITION, "UNKNOWN_TYPE", 2),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", 2),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "BACKLOG_FULL", 4),
        (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", 4),
    ],
)
def test_an_error_is_one_line_with_its_reason(
    service: ScriptedService, run: Run, code: grpc.StatusCode, reason: str, expected: int
) -> None:
    service.answers["GetStatus"].clear()
    service.answer("GetStatus", *[Fail(code, f"It went\nwrong ({reason})", [error_info(reason)])] * 5)
    result = run("get", "op")
    assert (expected, "", f"rejoinder: It went wrong ({reason})\n") == (result.exit_code, result.stdout, result.stderr)


def test_a_wait_that_times_out_exits_with_124(service: ScriptedService, run: Run) -> None:
    service.stream(snapshot(1), Hang())
    result = run("wait", "op", "--timeout", "100ms")
    assert 124 == result.exit_code
    assert "it goes on" in result.stderr


def test_no_server_is_one_line_and_exit_4() -> None:
    with serve() as gone:
        address = gone.address
    result = CliRunner().invoke(program, ["--server", address, "types"])
    assert (4, "") == (result.exit_code, result.stdout)
    assert f"rejoinder: no server answers at {address}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "t", "@/does/not/exist"],
        ["submit", "t", "--delay", "soon"],
        ["submit", "t", "--at", "tomorrow"],
        ["submit", "t", "--label", "novalue"],
        ["list", "--state", "asleep"],
        ["get", "op", "-o", "yaml"],
        ["dance"],
        ["--server", "a,b", "types"],
    ],
)
def test_bad_usage_is_said_on_stderr_with_exit_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (2, "") == (result.exit_code, result.stdout)
    assert result.stderr


def test_what_is_typed_wins_over_the_variable_wherever_it_stands(service: ScriptedService) -> None:
    runner = CliRunner(env={"REJOINDER_SERVER": "localhost:1"})
    for arguments in (["--server", service.address, "get", "op"], ["get", "op", "--server", service.address]):
        assert 0 == runner.invoke(program, arguments).exit_code


def test_get_prints_what_is_known_and_nothing_that_steers_a_terminal(service: ScriptedService, run: Run) -> None:
    service.answers["GetStatus"].clear()
    failed = operation(State.STATE_FAILED, labels={"b": "2", "a": "1"})
    failed.error.message = "bad\x1b[2J"
    service.answer("GetStatus", operation_service_pb2.GetStatusResponse(operation=failed))
    lines = run("get", "op").stdout.splitlines()
    assert "labels       a=1 b=2" in lines
    assert "error        bad [2J (ABORTED)" in lines


def test_cancel_sends_the_reason(service: ScriptedService, run: Run) -> None:
    answer = operation_service_pb2.CancelOperationResponse(operation=operation(State.STATE_CANCELLED))
    service.answer("CancelOperation", answer)
    assert 0 == run("cancel", "op", "--reason", "why").exit_code
    assert "why" == service.seen("CancelOperation")[0].reason


def test_list_prints_a_line_for_each_and_stops_at_the_limit(service: ScriptedService, run: Run) -> None:
    found = [operation(operation_id=f"op-{n}") for n in range(3)]
    answer = operation_service_pb2.ListOperationsResponse(operations=found, next_page_token="t")
    service.answer("ListOperations", answer, answer)
    assert 3 == len(run("list", "--limit", "2", "--state", "running").stdout.splitlines())
    lines = run("list", "--limit", "2", "-o", "json").stdout.splitlines()
    assert ["op-0", "op-1"] == [json.loads(line)["operation_id"] for line in lines]
    assert [operation_pb2.Operation.STATE_RUNNING] == list(service.seen("ListOperations")[0].states)


def test_types_prints_who_serves_what(service: ScriptedService, run: Run) -> None:
    kind = operation_pb2.OperationType(name="demo.work", queue="q", live_workers=2, free_slots=3, total_slots=8)
    service.answer("ListTypes", operation_service_pb2.ListTypesResponse(types=[kind]))
    assert ["demo.work", "q", "2", "3/8", "0"] == run("types").stdout.splitlines()[1].split()


def test_delete_prints_nothing(service: ScriptedService, run: Run) -> None:
    service.answer("DeleteOperation", operation_service_pb2.DeleteOperationResponse())
    assert (0, "") == ((result := run("delete", "op")).exit_code, result.output)


def test_version_is_printed(run: Run) -> None:
    assert "rejoinder, version " in run("--version").stdout


def test_ctrl_c_detaches_and_says_how_to_come_back(service: ScriptedService) -> None:
    service.stream(snapshot(1), progress(2), Hang())
    command = [sys.executable, "-c", "from rejoinder_client.command import main; main()"]
    command += ["watch", "op", "--server", service.address, "--namespace", "team"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert 130 == process.returncode
    expected = f"  rejoinder watch op --server {service.address} --namespace team --cursor c2"
    assert ["Detached; operation op goes on. Come back with:", expected] == errors.splitlines()
