"""The command, its supervisor and its processes, all real, against the server's side of a local broker."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from rejoinder.v1.operation_pb2 import Payload
from rejoinder.worker.v1.worker_pb2 import Claim, ClaimAnswer, Event, Fence, Grant, WorkerMessage
from rejoinder_broker.port import RefusedEvent, ServerBroker
from rejoinder_worker.settings import WorkerSettings
from tests.support.waiting import eventually, eventually_sync

COMMAND = Path(sys.executable).parent / "rejoinder-worker"

HANDLERS = """
import os, sys, threading, time
from rejoinder_worker import handler

@handler("modules.loaded")
def modules_loaded(context, request):
    return [name for name in request if name in sys.modules]

@handler("waits.deaf")
def waits_deaf(context, request):
    open(request, "w").close()
    threading.Event().wait()

@handler("dies")
def dies(context, request):
    os._exit(7)
"""


class Server:
    """The server's side: records events, and grants what a test has put down to the next claims."""

    def __init__(self, broker: ServerBroker) -> None:
        self.broker = broker
        self.recorded: list[Event] = []
        self.work: list[tuple[str, str]] = []
        self._granted = 0

    async def claims(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            chosen = [work for work in self.work if work[0] in claim.types][: claim.free_slots]
            for work in chosen:
                self.work.remove(work)
                await self.broker.send(claim.connection_id, WorkerMessage(grant=self._grant(claim, *work)))
            answer = ClaimAnswer(claim_id=claim.claim_id, granted=len(chosen))
            await self.broker.send(claim.connection_id, WorkerMessage(claim_answer=answer))

    async def events(self, events: Sequence[Event]) -> Sequence[RefusedEvent]:
        self.recorded.extend(events)
        return ()

    def changed(self, changes: object) -> None: ...

    def changes_missed(self) -> None: ...

    def unreadable(self, source: str) -> None: ...

    def connected(self) -> None: ...

    def disconnected(self, detail: str) -> None: ...

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.recorded if event.HasField(kind)]

    def pids(self) -> list[int]:
        return [int(event.worker.split("-")[-2]) for event in self.of("announcement")]

    def _grant(self, claim: Claim, type_name: str, request: str) -> Grant:
        self._granted += 1
        return Grant(
            claim_id=claim.claim_id,
            fence=Fence(operation_id=f"o{self._granted}", uid=f"u{self._granted}", attempt=1, nonce="n"),
            type=type_name,
            queue=claim.queue,
            request=Payload(json=request),
            lease=timedelta(seconds=30),
        )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    # Imported here: these tests are the only ones of the worker's that need the other side.
    from rejoinder_broker import server_broker

    made = Server(server_broker(f"local://{tmp_path}/s.sock"))
    await made.broker.start(made)
    yield made
    await made.broker.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_handlers.py").write_text(HANDLERS)
    return tmp_path


def begin(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start the command in a folder; the caller ends it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REJOINDER_")}
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder,
        env={**inherited, **environment},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[int(each) for before, each in pairwise(arguments) if before == "--exit-with-parent"],
    )


@asynccontextmanager
async def pool(folder: Path, *arguments: str) -> AsyncIterator["subprocess.Popen[str]"]:
    """Run a pool of one process on the server's socket, and kill what is left of it."""
    options = ["--processes", "1", "--threads", "2", "--claim-interval", "100ms", "--heartbeat-interval", "100ms"]
    broker = f"local://{folder}/s.sock"
    process = begin(folder, "own_handlers", "--broker", broker, *options, *arguments)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        await asyncio.to_thread(process.communicate)


async def ended(process: "subprocess.Popen[str]") -> int:
    return await asyncio.to_thread(process.wait, 60)


async def test_a_process_runs_handlers_without_grpc_server_or_database(server: Server, folder: Path) -> None:
    names = ["grpc", "rejoinder_server", "asyncpg", "sqlite3", "rejoinder_client", "rejoinder_worker"]
    server.work.append(("modules.loaded", str(names).replace("'", '"')))
    async with pool(folder) as process:
        await eventually(lambda: server.of("succeeded"), timeout=30)
        process.terminate()
        assert 0 == await ended(process)
    assert '["rejoinder_worker"]' == server.of("succeeded")[0].succeeded.result.json
    assert server.of("heartbeat")[-1].heartbeat.leaving


async def test_a_killed_process_is_reported_and_replaced(server: Server, folder: Path) -> None:
    async with pool(folder):
        await eventually(server.pids, timeout=30)
        os.kill(server.pids()[0], signal.SIGKILL)
        await eventually(lambda: len(server.pids()) == 2, timeout=30)
        death = (await eventually(lambda: server.of("process_died")))[0]
    assert death.worker == server.of("announcement")[0].worker
    assert "killed by SIGKILL" == death.process_died.detail
    assert 2 == len({event.worker for event in server.of("announcement")})


async def test_a_handler_that_ends_its_process_is_reported_with_the_status(server: Server, folder: Path) -> None:
    server.work.append(("dies", "null"))
    async with pool(folder):
        death = (await eventually(lambda: server.of("process_died"), timeout=30))[0]
    assert "exit status 7" == death.process_died.detail


async def test_a_second_sigterm_releases_what_runs(server: Server, folder: Path) -> None:
    mark = folder / "mark"
    server.work.append(("waits.deaf", f'"{mark}"'))
    async with pool(folder) as process:
        await eventually(mark.exists, timeout=30)
        process.terminate()
        await eventually(lambda: server.of("heartbeat")[-1].heartbeat.free_slots == 1)
        process.terminate()
        assert 0 == await ended(process)
    assert ["SHUTDOWN"] == [event.released.reason for event in server.of("released")]
    assert server.of("heartbeat")[-1].heartbeat.leaving


async def test_processes_end_when_their_supervisor_is_killed(server: Server, folder: Path) -> None:
    async with pool(folder) as process:
        (child,) = await eventually(server.pids, timeout=30)
        process.kill()
        await eventually(lambda: not psutil.pid_exists(child), timeout=20)


async def test_a_pool_ends_with_the_program_that_holds_its_pipe(server: Server, folder: Path) -> None:
    ours, theirs = os.pipe()
    async with pool(folder, "--exit-with-parent", str(ours)) as process:
        os.close(ours)
        await eventually(server.pids, timeout=30)
        os.close(theirs)
        assert 0 == await ended(process)


async def test_an_unreachable_broker_is_said_once_and_waited_for(folder: Path) -> None:
    from rejoinder_broker import server_broker

    async with pool(folder) as process:
        line = await asyncio.to_thread(process.stderr.readline)  # type: ignore[union-attr] # a pipe
        assert "the broker is unreachable; waiting for it" in line
        server = Server(server_broker(f"local://{folder}/s.sock"))
        await server.broker.start(server)
        await eventually(server.pids, timeout=30)
        process.terminate()
        said = (await asyncio.to_thread(process.communicate))[1]
        await server.broker.stop()
    assert "unreachable" not in said


@pytest.mark.parametrize(
    ("source", "module", "message"),
    [
        ("", "no_such_module", "cannot import 'no_such_module': No module named 'no_such_module'"),
        ("1 +", "bad", "cannot import 'bad': SyntaxError: invalid syntax"),
        ("\nraise OSError('disk')", "bad", "cannot import 'bad': OSError: disk (/"),
        ("import sys; sys.exit(5)", "bad", "cannot import 'bad': SystemExit: 5"),
        ("x = 1", "bad", "there are no handlers in bad"),
        ("x = 1", "bad:x", "'bad:x' must be a rejoinder_worker.Registry, but there is a value of type int"),
        ("x = 1", "bad:y", "'bad:y' must be a rejoinder_worker.Registry, but there is no such name"),
        (
            "from rejoinder_worker import handler\nhandler('a')(lambda c, r: 1)\nhandler('a')(lambda c, r: 2)",
            "bad",
            "two handlers are registered for the type 'a'",
        ),
        ("from rejoinder_worker import handler\nhandler('A')(lambda c, r: 1)", "bad", "'A' is no valid type"),
        (
            "from rejoinder_worker import handler\n@handler('a')\ndef f(c, r: set): ...",
            "bad",
            "the request of the type 'a' has a type hint of no use",
        ),
    ],
)
def test_modules_of_no_use_are_one_line_and_exit_status_2(
    tmp_path: Path, source: str, module: str, message: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    process = begin(tmp_path, module, "--broker", f"local://{tmp_path}/s.sock", "--processes", "2")
    _, said = process.communicate(timeout=60)
    lines = [line for line in said.splitlines() if "unreachable" not in line]
    assert 1 == len(lines)
    assert lines[0].startswith(f"rejoinder-worker: {message}")
    assert 2 == process.returncode


@pytest.mark.parametrize(
    ("arguments", "variables", "message", "status"),
    [
        (["--broker", "ftp://x"], {}, "rejoinder-worker: the broker refused: ", 1),
        ([], {"REJOINDER_BROKER": "ftp://x"}, "rejoinder-worker: the broker refused: ", 1),
        (["--queues", "none"], {}, "rejoinder-worker: no handler has the queue none; they have default", 2),
        (["--threads", "0"], {}, "rejoinder-worker: --threads: Input should be greater than or equal to 1", 2),
        ([], {"REJOINDER_GRACE": "soon"}, "rejoinder-worker: REJOINDER_GRACE: must be a duration", 2),
    ],
)
def test_bad_settings_are_one_clear_line(
    folder: Path, arguments: list[str], variables: dict[str, str], message: str, status: int
) -> None:
    surely = {"REJOINDER_BROKER": f"local://{folder}/s.sock", **variables}
    process = begin(folder, "own_handlers", *arguments, **surely)
    _, said = process.communicate(timeout=60)
    lines = [line for line in said.splitlines() if "unreachable" not in line]
    assert lines[-1].startswith(message)
    assert "Traceback" not in said
    assert process.returncode == status


def test_every_setting_is_a_flag_with_a_variable(folder: Path) -> None:
    process = begin(folder, "--help")
    text, _ = process.communicate(timeout=60)
    assert all(f"--{name.replace('_', '-')}" in text for name in WorkerSettings.model_fields)
    assert all(field.description for field in WorkerSettings.model_fields.values())


def test_ctrl_c_before_the_broker_answers_ends_the_pool(folder: Path) -> None:
    process = begin(folder, "own_handlers", "--broker", f"local://{folder}/s.sock", "--processes", "1")
    lines: list[str] = []
    assert process.stderr is not None
    while not any("process started" in line for line in lines):
        lines.append(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert 0 == process.returncode


def of_pool(process: "subprocess.Popen[str]") -> Callable[[], list[psutil.Process]]:
    return lambda: psutil.Process(process.pid).children()


def test_a_process_that_dies_again_and_again_is_restarted_ever_more_slowly(folder: Path) -> None:
    process = begin(folder, "own_handlers", "--broker", f"local://{folder}/s.sock", "--processes", "1")
    try:
        seen: list[int] = []
        for _ in range(3):
            (child,) = eventually_sync(of_pool(process), timeout=30)
            assert child.pid not in seen
            seen.append(child.pid)
            child.kill()
            eventually_sync(lambda child=child: not child.is_running())  # type: ignore[misc] # bound now
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert 3 == said.count("process died")
