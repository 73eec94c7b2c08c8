# ruff: noqa: ASYNC220, ASYNC240 - nothing else runs on the loop while a test prepares its files and processes

import asyncio
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

import pytest

from rejoinder_server.operation import SECOND, Operation
from rejoinder_server.store import open_store
from rejoinder_server.store.port import ByKey, Moment, Store, StoreRefused, StoreUnavailable, Writes
from tests.support.operations import acceptance
from tests.support.storing import due_ids, read_one, stored

HOLDER = """
import asyncio, subprocess, sys
from rejoinder_server.store import open_store
async def hold():
    store = open_store(sys.argv[1])
    await store.open()
    child = subprocess.Popen(["cat"], stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(hold())
"""


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody where the tests run as root, whom no folder refuses."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def refused(store: Store) -> str:
    with pytest.raises(StoreRefused) as caught:
        await store.open()
    await store.close()
    return str(caught.value)


async def test_a_second_server_on_one_file_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rejoinder.db"
    first = open_store(url)
    await first.open()
    assert f"another server (process {os.getpid()})" in await refused(open_store(url))
    await first.close()


async def test_a_second_server_is_refused_by_any_name_of_the_file(tmp_path: Path) -> None:
    first = open_store(f"sqlite:///{tmp_path}/rejoinder.db")
    await first.open()
    (tmp_path / "link.db").symlink_to(tmp_path / "rejoinder.db")
    assert "another server" in await refused(open_store(f"sqlite:///{tmp_path}/link.db"))
    await first.close()


async def test_migrating_under_a_server_is_refused(tmp_path: Path) -> None:
    first = open_store(f"sqlite:///{tmp_path}/rejoinder.db")
    await first.open()
    with pytest.raises(StoreRefused, match="another server"):
        await open_store(f"sqlite:///{tmp_path}/rejoinder.db").migrate()
    await first.close()


async def test_a_closed_file_can_be_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        store = open_store(f"sqlite:///{tmp_path}/rejoinder.db")
        await store.open()
        await store.close()


async def test_a_killed_server_lets_the_file_go_though_its_child_lives_on(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rejoinder.db"
    # The child reads from the test, so it ends with the test.
    command = [sys.executable, "-c", HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        await refused(open_store(url))
        holder.kill()
        holder.wait(timeout=10)
        store = open_store(url)
        await store.open()
        await store.close()
        os.kill(child, SIGKILL)


async def test_a_relative_path_is_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///some%20file.db")
    await store.open()
    await store.close()
    assert (tmp_path / "some file.db").exists()


async def test_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert f"cannot write in {tmp_path}/missing" in await refused(open_store(f"sqlite:///{tmp_path}/missing/a.db"))


async def test_a_folder_that_is_not_writable_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with unprivileged():
        assert "cannot write in" in await refused(open_store(f"sqlite:///{tmp_path}/a.db"))
    tmp_path.chmod(0o755)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("not a database, but long enough to look like one" * 100)
    assert "file is not a database" in await refused(open_store(f"sqlite:///{tmp_path}/a.db"))


async def test_nothing_is_put_beside_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("x")
    (tmp_path / "folder").mkdir()
    for name in ("short", "folder"):
        assert f"cannot open {tmp_path}/{name}" in await refused(open_store(f"sqlite:///{tmp_path}/{name}"))
    assert ["folder", "short"] == sorted(path.name for path in tmp_path.iterdir())


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    store = open_store(f"sqlite:///{tmp_path}/a.db")
    await store.open()
    assert [] == await store.types()
    await store.close()


async def test_a_commit_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/rejoinder.db")
    await store.open()
    settings = await store._connections.write(  # type: ignore[attr-defined]
        lambda connection: [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    )
    await store.close()
    assert ["wal", 2] == settings


async def test_the_store_tells_the_time_of_its_clock(tmp_path: Path) -> None:
    seconds = 1000.0
    store = open_store(f"sqlite:///{tmp_path}/rejoinder.db", clock=lambda: seconds)
    await store.open()
    await stored(store, operation_id="later", due_time=1001 * SECOND)
    assert (1000 * SECOND, []) == (await store.now(), await due_ids(store))
    seconds = 1001.0
    assert ["later"] == await due_ids(store)
    await store.close()


async def test_a_full_disk_makes_it_unavailable_until_there_is_room(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/rejoinder.db")
    await store.open()
    before = acceptance()
    await store.submit([before])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    refused = acceptance(request=bytes(2**20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, hard))
    try:
        with pytest.raises(StoreUnavailable):
            await store.submit([acceptance(), refused])
        assert await read_one(store, before.operation.key) == before.operation
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await read_one(store, refused.operation.key) is None
    [submission] = await store.submit([refused])
    assert submission.is_new
    await store.close()


async def test_the_event_loop_and_readers_go_on_while_a_decision_takes_its_time(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/rejoinder.db")
    await store.open()
    may_go = threading.Event()

    def decide(_rows: Sequence[Operation], _moment: Moment) -> Writes:
        assert may_go.wait(10)
        return Writes()

    deciding = asyncio.create_task(store.transact(ByKey([]), decide))
    assert [] == await store.read([])
    assert not deciding.done()
    may_go.set()
    await deciding
    await store.close()
