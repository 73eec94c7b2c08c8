"""The two ways to run Rejoinder, as the demonstration starts them."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from examples.demo.programs import Programs, free_address
from examples.demo.telling import say, show, tell
from rejoinder_client import Client, RejoinderError

if TYPE_CHECKING:
    from tests.support.postgres import PostgresCluster

ROOT = Path(__file__).parents[2]
MODULES = ("examples.tree", "examples.orders")
TYPES = {"tree.count", "orders.import"}
WORKERS = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs.

    Attributes:
        submit_at: Address of the server that takes requests.
        watch_at: Address of the server that is asked about them.
        folder: Folder for files that last as long as the demonstration.
    """

    submit_at: str
    watch_at: str
    folder: Path


@contextlib.contextmanager
def embedded() -> Iterator[Stage]:
    """One server with SQLite and a worker process of its own."""
    with _folder() as folder, Programs(folder=ROOT, logs=folder) as programs:
        say("One command is the server, the store and the worker:")
        address = free_address()
        store = f"sqlite:///{folder}/rejoinder.db"
        handlers = [argument for module in MODULES for argument in ("--handlers", module)]
        show(programs.start("rejoinder-server", "--listen", address, "--store", store, *handlers))
        _wait_until_served(programs, [address], workers=1)
        yield Stage(address, address, folder)
        say("Stopping what was started.")


@contextlib.contextmanager
def distributed() -> Iterator[Stage]:
    """Two servers and two worker processes on a private PostgreSQL and a private RabbitMQ."""
    # Only here and below: the embedded demonstration has none of what these need.
    from tests.support.rabbitmq import running_node

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_folder())
        say("Starting a private PostgreSQL and a private RabbitMQ, which takes some seconds.")
        with ThreadPoolExecutor(1) as beside:
            starting = beside.submit(_start_postgres, stack)
            node = stack.enter_context(running_node())
            cluster = starting.result()
        say("Starting two servers and two workers; REJOINDER_STORE and REJOINDER_BROKER say where:")
        broker = {"REJOINDER_BROKER": node.url(node.new_vhost())}
        store = {"REJOINDER_STORE": cluster.new_database(is_migrated=False)}
        programs = stack.enter_context(Programs(folder=ROOT, logs=folder))
        first, second = free_address(), free_address()
        for address in (first, second):
            show(programs.start("rejoinder-server", "--listen", address, settings=store | broker))
        for _ in range(WORKERS):
            show(programs.start("rejoinder-worker", *MODULES, "--processes", "1", settings=broker))
        _wait_until_served(programs, [first, second], workers=WORKERS)
        yield Stage(first, second, folder)
        say("Stopping what was started.")


def _start_postgres(stack: contextlib.ExitStack) -> "PostgresCluster":
    from tests.support.postgres import PostgresCluster

    cluster = PostgresCluster()
    stack.callback(cluster.remove)
    cluster.start()
    stack.callback(cluster.stop)
    return cluster


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rejoinder-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_served(programs: Programs, addresses: list[str], *, workers: int) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(address)) for address in addresses]
        programs.wait_until(lambda: all(_is_served(client, workers) for client in clients), what="server and workers")
    tell(
        f"ready, {len(addresses)} server{'s'[: len(addresses) - 1]}, {workers} worker process{'es'[: workers * 2 - 2]}"
    )


def _is_served(client: Client, workers: int) -> bool:
    try:
        types = client.types()
    except RejoinderError:
        return False
    return {each.name for each in types if each.live_workers >= workers} >= TYPES
