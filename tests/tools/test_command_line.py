"""The `rejoinder` command as people and scripts use it: against a real server, as a process of its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Server
from tests.support.waiting import eventually_sync

REJOINDER = Path(sys.executable).with_name("rejoinder")
LIMIT_SECONDS = 60
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[Any]:
        """Its JSON, a document on each line."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def document(self) -> Any:
        """Its JSON, one document in all."""
        return json.loads(self.output)


class Command:
    """The command, told by its environment where the server is."""

    def __init__(self, address: str) -> None:
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("REJOINDER_")},
            "REJOINDER_SERVER": address,
            "GRPC_VERBOSITY": "NONE",
        }

    def __call__(self, *arguments: str) -> Done:
        """Run it to its end."""
        done = subprocess.run(
            [REJOINDER, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def interrupt(self, *arguments: str, folder: Path, when: str) -> Done:
        """Run it, send it Ctrl-C once it has printed some text, and return how it ended.

        Args:
            *arguments: The command's.
            folder: Takes what it prints.
            when: The text, on standard output or standard error.
        """
        output, errors = folder / "output", folder / "errors"
        with output.open("w") as out, errors.open("w") as err:
            process = subprocess.Popen([REJOINDER, *arguments], stdout=out, stderr=err, env=self.environment)
        try:
            eventually_sync(lambda: when in output.read_text() + errors.read_text(), timeout=20)
            process.send_signal(signal.SIGINT)
            status = process.wait(LIMIT_SECONDS)
        finally:
            process.kill()
            process.wait()
        return Done(status, output.read_text(), errors.read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("command")
    arguments = [f"--store=sqlite:///{folder}/rejoinder.db", "--handlers=tests.support.handlers"]
    with Server(*arguments, log=folder / "server.log") as server:
        yield server


@pytest.fixture(scope="module")
def rejoinder(server: Server) -> Command:
    return Command(server.address)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """The file that lets test.hold end; it is made at the end, so that no slot stays taken."""
    path = tmp_path / "gate"
    yield path
    path.touch()


def _hold(gate: Path) -> tuple[str, str]:
    return "test.hold", json.dumps({"gate": str(gate)})


# Exit statuses.


def test_a_success_ends_with_0_and_the_result_on_standard_output(rejoinder: Command) -> None:
    done = rejoinder("submit", "test.echo", '{"rows": 10}', "--wait", "-o", "json")

    assert 0 == done.status
    assert ("SUCCEEDED", {"rows": 10}) == (done.document["state"], done.document["result"]["json"])


def test_a_failure_ends_with_1_and_says_why_as_data(rejoinder: Command) -> None:
    done = rejoinder("submit", "test.fail_for_good", "--wait", "-o", "json")

    assert 1 == done.status
    assert ("FAILED", "never like this") == (done.document["state"], done.document["error"]["message"])


def test_an_unknown_operation_ends_with_1_and_one_line(rejoinder: Command) -> None:
    done = rejoinder("get", "nobody")

    assert (1, "") == (done.status, done.output)
    assert done.errors == (
        "rejoinder: there is no operation nobody in this namespace; check both names, or submit it first (UNKNOWN)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submit"], "Missing argument 'TYPE'"),
        (["swim"], "No such command 'swim'"),
        (["submit", "test.echo", "--delay", "soon"], "--delay"),
        (["submit", "test.echo", "{"], "payload.json is not JSON"),
        (["submit", "test.ecco"], "did you mean test.echo"),
        (["watch", "first", "--cursor", "nonsense"], "cursor is not a cursor"),
    ],
    ids=["no type", "no such command", "no duration", "no JSON", "unknown type", "malformed cursor"],
)
def test_what_cannot_be_right_ends_with_2_and_says_so(rejoinder: Command, arguments: list[str], told: str) -> None:
    if arguments[0] == "watch":
        arguments[1] = rejoinder("submit", "test.echo", "--wait", "-o", "json").document["operation_id"]
    done = rejoinder(*arguments)

    assert (2, "") == (done.status, done.output)
    assert told in done.errors


def test_a_cancelled_operation_ends_the_wait_with_3(rejoinder: Command) -> None:
    operation_id = rejoinder("submit", "test.echo", "--delay", "1h", "-o", "json").document["operation_id"]
    cancelled = rejoinder("cancel", operation_id, "--reason", "changed my mind", "-o", "json")
    waited = rejoinder("wait", operation_id, "-o", "json")

    assert (0, "CANCELLED") == (cancelled.status, cancelled.document["state"])
    assert (3, "changed my mind") == (waited.status, waited.document["cancel_reason"])


def test_an_operation_that_timed_out_ends_the_wait_with_3(rejoinder: Command) -> None:
    done = rejoinder("submit", "test.echo", "--delay", "1h", "--total-timeout", "200ms", "--wait", "-o", "json")

    assert (3, "TIMED_OUT") == (done.status, done.document["state"])


def test_without_a_server_it_ends_with_4_and_one_line() -> None:
    done = Command("127.0.0.1:1")("watch", "first")

    assert (4, "") == (done.status, done.output)
    assert done.errors == (
        "rejoinder: no server answers at 127.0.0.1:1 (is it running? --server or REJOINDER_SERVER says where)\n"
    )


def test_a_wait_that_takes_too_long_ends_with_124_and_the_operation_goes_on(rejoinder: Command, gate: Path) -> None:
    done = rejoinder("submit", *_hold(gate), "--operation-id", "slow", "--wait", "--timeout", "300ms", "-o", "json")
    gate.touch()

    assert (124, "") == (done.status, done.output)
    assert "slow" in done.errors
    assert 0 == rejoinder("wait", "slow").status


# Standard output is data.


def test_a_watch_prints_an_update_on_each_line_up_to_the_end(rejoinder: Command) -> None:
    operation_id = rejoinder("submit", "test.echo", "-o", "json").document["operation_id"]
    done = rejoinder("watch", operation_id, "--from-start", "-o", "json")

    assert (0, "") == (done.status, done.errors)
    assert ["ACCEPTED", "RUNNING", "SUCCEEDED"] == [line["transition"]["state"] for line in done.lines]
    assert [1, 2, 3] == [line["transition"]["sequence"] for line in done.lines]


def test_progress_for_people_goes_to_standard_error(rejoinder: Command, tmp_path: Path) -> None:
    for index in (1, 2):
        (tmp_path / f"gate.{index}").touch()
    request = json.dumps({"steps": 2, "gate": str(tmp_path / "gate")})
    done = rejoinder("submit", "test.steps", request, "--delay", "300ms", "--wait", "-o", "json")

    assert 2 == done.document["result"]["json"]
    assert "RUNNING" in done.errors
    assert "SUCCEEDED" in done.errors


def test_get_prints_one_document(rejoinder: Command) -> None:
    operation_id = rejoinder("submit", "test.echo", '"ink"', "--wait", "-o", "json").document["operation_id"]
    done = rejoinder("get", operation_id, "-o", "json")

    assert (0, "") == (done.status, done.errors)
    assert ("ink", "ink") == (done.document["request"]["json"], done.document["result"]["json"])


def test_list_prints_a_document_on_each_line_newest_first(rejoinder: Command) -> None:
    ids = [
        rejoinder("submit", "test.echo", "--label", "of=list", "-o", "json").document["operation_id"] for _ in range(3)
    ]
    done = rejoinder("list", "--label", "of=list", "--type", "test.echo", "-o", "json")

    assert ids[::-1] == [line["operation_id"] for line in done.lines]
    assert 2 == len(rejoinder("list", "--label", "of=list", "--limit", "2", "-o", "json").lines)


def test_types_prints_a_document_on_each_line(rejoinder: Command) -> None:
    found = {line["name"]: line for line in rejoinder("types", "-o", "json").lines}

    assert ("test", 1, 8) == tuple(found["test.echo"][name] for name in ("queue", "live_workers", "total_slots"))


def test_delete_prints_nothing_and_the_operation_is_gone(rejoinder: Command) -> None:
    operation_id = rejoinder("submit", "test.echo", "--wait", "-o", "json").document["operation_id"]
    done = rejoinder("delete", operation_id)

    assert (0, "", "") == (done.status, done.output, done.errors)
    assert "PURGED" in rejoinder("get", operation_id).errors


def test_delete_refuses_what_has_not_ended(rejoinder: Command, gate: Path) -> None:
    operation_id = rejoinder("submit", *_hold(gate), "-o", "json").document["operation_id"]
    done = rejoinder("delete", operation_id)

    assert (2, "") == (done.status, done.output)
    assert "UNFINISHED" in done.errors


def test_tables_hold_what_people_look_for(rejoinder: Command) -> None:
    rejoinder("submit", "test.echo", '{"rows": 10}', "--operation-id", "shown", "--wait")

    assert ["TYPE", "QUEUE", "WORKERS"] == rejoinder("types").output.split()[:3]
    listed = [line.split()[:3] for line in rejoinder("list").output.splitlines()]
    assert ["shown", "test.echo", "SUCCEEDED"] in listed
    assert ["result", '{"rows":10}'] in [line.split() for line in rejoinder("get", "shown").output.splitlines()]


# Ctrl-C.


def _way_back(done: Done) -> list[str]:
    """Return the arguments of the command that an interrupted one names."""
    told, command = done.errors.splitlines()[-2:]
    assert "Come back with:" in told
    name, *arguments = shlex.split(command)
    assert "rejoinder" == name
    return arguments


def test_ctrl_c_detaches_from_a_watch_which_then_goes_on_after_what_was_shown(
    rejoinder: Command, gate: Path, tmp_path: Path
) -> None:
    operation_id = rejoinder("submit", *_hold(gate), "-o", "json").document["operation_id"]
    detached = rejoinder.interrupt(
        "watch", operation_id, "--from-start", "-o", "json", folder=tmp_path, when='"state": "RUNNING", "attempt"'
    )
    gate.touch()
    resumed = rejoinder(*_way_back(detached))

    assert (INTERRUPTED, 0) == (detached.status, resumed.status)
    shown = [line["transition"] for line in detached.lines + resumed.lines]
    assert [1, 2, 3] == [transition["sequence"] for transition in shown]
    assert "SUCCEEDED" == shown[-1]["state"]


@pytest.mark.parametrize("follows", ["--wait", "--watch"])
def test_ctrl_c_detaches_from_a_submit_and_the_operation_goes_on(
    rejoinder: Command, gate: Path, tmp_path: Path, follows: str
) -> None:
    detached = rejoinder.interrupt("submit", *_hold(gate), follows, folder=tmp_path, when="RUNNING")
    gate.touch()
    resumed = rejoinder(*_way_back(detached), "-o", "json")

    assert (INTERRUPTED, 0) == (detached.status, resumed.status)
    last = json.loads(resumed.output.splitlines()[-1]) if follows == "--watch" else resumed.document
    assert "SUCCEEDED" == (last["operation"] if follows == "--watch" else last)["state"]
