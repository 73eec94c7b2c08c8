"""A private PostgreSQL cluster: its own folder, port and passwords, to be killed, frozen and restarted at will."""

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP, Signals

import psutil
import pytest

from rejoinder_server.store import open_store
from tests.support.waiting import eventually_sync

USER = "rejoinder"
PASSWORD = "a password: with @/?#% in it"
_QUOTED = "a%20password%3A%20with%20%40%2F%3F%23%25%20in%20it"
_TEMPLATE = "rejoinder_template"
_EMPTY = """
TRUNCATE operations, requests, transitions, types, workers;
UPDATE watermark SET time = 0, judge_from = 0;
"""


class PostgresMissing(Exception):
    """PostgreSQL's programs are not installed."""


class PostgresCluster:
    """A PostgreSQL cluster of one's own on a free port of 127.0.0.1, which asks for passwords.

    Args:
        settings: Settings of the server beside the defaults; the default for fsync is off, since only processes die
            in tests, never the machine.
    """

    def __init__(self, **settings: str) -> None:
        self._programs = _programs()
        # PostgreSQL refuses to run as root.
        self._account = _account() if os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="rejoinder-postgres-"))
        self._settings = {"fsync": "off", "max_connections": "200"} | settings
        self._names = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self._create()

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None, "the cluster is not running"
        return self._process.pid

    def url(self, database: str, *, password: str = _QUOTED, user: str = USER) -> str:
        """Return the URL of a database, by default with the right password."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        options = [f"--{name}={value}" for name, value in (settings | self._settings).items()]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *options],
                stdout=log,
                stderr=log,
                cwd=self._home,
                user=self._account,
                extra_groups=None if self._account is None else [],
            )
        eventually_sync(self._answers, timeout=30)

    def stop(self, how: Signals = SIGINT) -> None:
        """Stop it, by default in order but without waiting for its clients."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def kill(self) -> None:
        """Kill all of its processes at once, as a crash of the machine would."""
        processes = self._processes()
        for process in processes:
            process.send_signal(SIGKILL)
        psutil.wait_procs(processes[1:], timeout=30)
        self.stop(SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port and data."""
        self.stop()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self.start()

    def freeze(self) -> None:
        """Stop all of its processes in their tracks: connections stay and nothing answers."""
        for process in self._processes():
            process.send_signal(SIGSTOP)

    def thaw(self) -> None:
        """Let the frozen processes go on."""
        for process in self._processes():
            process.send_signal(SIGCONT)

    def remove(self) -> None:
        """Kill it, and remove all of its files."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run a statement as the owner, and return its rows as text, with | between columns."""
        command: list[str | Path] = [
            self._programs / "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
            self.url(database),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert 0 == done.returncode, done.stderr
        return done.stdout.strip()

    def new_database(self, *, is_migrated: bool = True) -> str:
        """Make a database, by default with the newest schema and nothing in it, and return its URL."""
        name = f"test_{next(self._names)}"
        template = _TEMPLATE if is_migrated else "template0"
        if is_migrated:
            self._ensure_template()
        # Copying files is the quicker way where nothing waits for a disk; before version 15 it is the only one.
        strategy = "STRATEGY FILE_COPY" if self._version >= 15 else ""
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database with whatever is connected to it."""
        self.sql(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def empty_database(self, url: str) -> None:
        """Make a migrated database as good as new, much quicker than a new one is made."""
        self.sql(_EMPTY, database=url.rpartition("/")[2])

    @property
    def _version(self) -> int:
        done = subprocess.run([self._programs / "postgres", "--version"], capture_output=True, text=True, check=True)
        return int(done.stdout.split()[2].partition(".")[0])

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _create(self) -> None:
        if self._account is not None:
            os.chown(self._home, self._account, -1)
        password_file = self._home / "password"
        password_file.write_text(PASSWORD)
        password_file.chmod(0o644)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", f"--username={USER}"]
        done = subprocess.run(
            [self._programs / "initdb", f"--pgdata={self._data}", f"--pwfile={password_file}", *options],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self._home,
            user=self._account,
            extra_groups=None if self._account is None else [],
        )
        assert 0 == done.returncode, done.stderr

    def _ensure_template(self) -> None:
        if self.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{_TEMPLATE}'") == "0":
            self.sql(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
            # In a thread of its own, since the caller's may have a running event loop.
            thread = threading.Thread(target=lambda: asyncio.run(open_store(self.url(_TEMPLATE)).migrate()))
            thread.start()
            thread.join()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._home / "log").read_text()[-2000:]
        command: list[str | Path] = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, timeout=10, check=False).returncode == 0

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children(recursive=True)]


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb is None:
        raise PostgresMissing("these tests need PostgreSQL: apt-get install postgresql (its service need not run)")
    return Path(initdb).parent


def _account() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise PostgresMissing("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A cluster for the whole run, for tests that leave it running."""
    cluster = PostgresCluster()
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def shared_database(postgres_cluster: PostgresCluster) -> str:
    """A database that one test after the other empties and uses."""
    return postgres_cluster.new_database()


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster, shared_database: str) -> str:
    """A database with the newest schema and nothing in it."""
    postgres_cluster.empty_database(shared_database)
    return shared_database
