"""What the end-to-end tests have in common: callers of a deployment, and deployments that tests may hurt."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from rejoinder_client import AsyncClient
from tests.support.deployment import Deployment, Distributed, Embedded
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.raw_calls import RawCaller, raw_caller
from tests.support.side_effects import Effects

BRISK_LEASE_SECONDS = 8
BRISK = (
    f"--lease={BRISK_LEASE_SECONDS}s",
    "--marker-interval=300ms",
    "--sweep-interval=200ms",
    "--cancel-grace=1s",
)

NewDistributed = Callable[..., Distributed]


@pytest.fixture
def effects(tmp_path: Path) -> Iterator[Effects]:
    """Gates and the log of side effects; what still waits at the usual gate when the test ends may pass."""
    made = Effects(tmp_path)
    yield made
    made.open()


@pytest.fixture
def namespace() -> str:
    """A namespace of the test's own."""
    return f"test-{uuid4().hex}"


@pytest.fixture
async def submitter(deployment: Deployment) -> AsyncIterator[AsyncClient]:
    """A caller at one server."""
    async with AsyncClient(deployment.first) as client:
        yield client


@pytest.fixture
async def watcher(deployment: Deployment) -> AsyncIterator[AsyncClient]:
    """A caller at the other server, where there is one."""
    async with AsyncClient(deployment.last) as client:
        yield client


@pytest.fixture
def raw_first(deployment: Deployment) -> Iterator[RawCaller]:
    """Plain stubs at one server."""
    with raw_caller(deployment.first) as caller:
        yield caller


@pytest.fixture
def raw_last(deployment: Deployment) -> Iterator[RawCaller]:
    """Plain stubs at the other server, where there is one."""
    with raw_caller(deployment.last) as caller:
        yield caller


@pytest.fixture(scope="session")
def new_distributed(
    tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster, rabbit_node: RabbitNode
) -> NewDistributed:
    """Make distributed deployments with a database and a virtual host of their own; they are not started."""

    def make(*arguments: str, broker_url: str = "", worker_arguments: tuple[str, ...] = ()) -> Distributed:
        return Distributed(
            tmp_path_factory.mktemp("distributed"),
            *arguments,
            database_url=postgres_cluster.new_database(),
            broker_url=broker_url or rabbit_node.url(rabbit_node.new_vhost()),
            worker_arguments=worker_arguments,
        )

    return make


@pytest.fixture(scope="session")
def brisk_embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Rejoinder in one process, quick to notice deadlines and lost workers."""
    with Embedded(tmp_path_factory.mktemp("brisk"), *BRISK) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def brisk_distributed(new_distributed: NewDistributed) -> Iterator[Distributed]:
    """Rejoinder in many processes, quick to notice deadlines and lost workers."""
    patience = (f"--heartbeat-interval={BRISK_LEASE_SECONDS // 4}s", "--grace=200ms")
    with new_distributed(*BRISK, worker_arguments=patience) as deployment:
        yield deployment


@pytest.fixture(params=["embedded", "distributed"])
def brisk(request: pytest.FixtureRequest) -> Deployment:
    """Rejoinder in both ways, with whatever earlier tests have killed running again."""
    deployment: Deployment = request.getfixturevalue(f"brisk_{request.param}")
    deployment.mend()
    return deployment


@pytest.fixture
def pair(brisk_distributed: Distributed) -> Distributed:
    """The distributed one of these alone."""
    brisk_distributed.mend()
    return brisk_distributed


@pytest.fixture
async def brisk_client(brisk: Deployment) -> AsyncIterator[AsyncClient]:
    """A caller at a brisk deployment's first server."""
    async with AsyncClient(brisk.first) as client:
        yield client


@pytest.fixture
async def pair_client(pair: Distributed) -> AsyncIterator[AsyncClient]:
    """A caller at both servers of the distributed one."""
    async with AsyncClient(f"{pair.first},{pair.last}") as client:
        yield client
