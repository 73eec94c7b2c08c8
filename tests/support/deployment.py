"""The two ways to run Rejoinder, as tests see them: addresses of servers, and processes to kill."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.postgres import PostgresCluster
from tests.support.processes import Server, Worker
from tests.support.rabbitmq import RabbitNode
from tests.support.waiting import eventually_sync

SLOW = ("--sweep-interval=1h", "--schedule-interval=1h")

HANDLERS = "tests.support.handlers"


class Deployment(ABC):
    """Servers and workers that belong together.

    Attributes:
        slots: Handlers that run at a time, in all workers.
    """

    servers: Sequence[Server]
    workers: Sequence[Worker]
    slots: int

    @property
    def first(self) -> str:
        """Address of one server."""
        return self.servers[0].address

    @property
    def last(self) -> str:
        """Address of another server, where there is one."""
        return self.servers[-1].address

    @abstractmethod
    def start(self) -> None:
        """Start everything and wait until it serves and workers are there."""

    def stop(self) -> None:
        """End everything."""
        for process in (*self.workers, *self.servers):
            process.kill()

    def mend(self) -> None:
        """Start what does not run, and wait until it serves."""
        for process in (*self.servers, *self.workers):
            if not process.is_running:
                process.start()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Embedded(Deployment):
    """One server on SQLite with its own worker process of four slots."""

    def __init__(self, folder: Path, *arguments: str, threads: int = 4, handlers: str = HANDLERS) -> None:
        self.store = folder / "store" / "rejoinder.db"
        self.store.parent.mkdir(parents=True, exist_ok=True)
        self.servers = [
            Server(
                f"--store=sqlite:///{self.store}",
                f"--handlers={handlers}",
                f"--worker-threads={threads}",
                *arguments,
                log=folder / "server.log",
            )
        ]
        self.workers = []
        self.slots = threads

    def start(self) -> None:
        for server in self.servers:
            server.start()


class Distributed(Deployment):
    """Two servers on PostgreSQL and RabbitMQ, and worker processes: two of two slots each, if nothing else is said."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        database_url: str,
        broker_url: str,
        threads: int = 2,
        handlers: str = HANDLERS,
        worker_arguments: Sequence[str] = (),
        worker_count: int = 2,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.servers = [
            Server(f"--store={database_url}", f"--broker={broker_url}", *arguments, log=folder / f"server-{name}.log")
            for name in ("a", "b")
        ]
        self.workers = [
            Worker(
                handlers,
                f"--broker={broker_url}",
                "--processes=1",
                f"--threads={threads}",
                *worker_arguments,
                log=folder / f"worker-{number}.log",
            )
            for number in range(worker_count)
        ]
        self.slots = threads * len(self.workers)

    def start(self) -> None:
        for process in (*self.servers, *self.workers):
            if isinstance(process, Server):
                process.start(wait=False)
            else:
                process.start()
        for server in self.servers:
            server.await_start()
        self.await_workers(len(self.workers))

    def mend(self) -> None:
        super().mend()
        self.await_workers(len(self.workers))

    def runner(self, pid: int) -> Worker:
        """Return the worker to which a process with a handler belongs."""
        return next(worker for worker in self.workers if pid in worker.children())

    def await_workers(self, count: int) -> None:
        """Wait until that many worker processes have announced themselves."""
        from rejoinder_client import Client

        with Client(self.first) as client:
            eventually_sync(lambda: any(known.live_workers >= count for known in client.types()), timeout=40)


@pytest.fixture(scope="session", params=["embedded", "distributed"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Rejoinder in both ways, with poll, sweep and claim intervals so long that nothing but wake-ups moves it."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "embedded":
            yield stack.enter_context(Embedded(folder, *SLOW, "--claim-interval=1h"))
        else:
            cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
            node: RabbitNode = request.getfixturevalue("rabbit_node")
            yield stack.enter_context(
                Distributed(
                    folder,
                    *SLOW,
                    database_url=cluster.new_database(),
                    broker_url=node.url(node.new_vhost()),
                    worker_arguments=["--claim-interval=1h"],
                )
            )
