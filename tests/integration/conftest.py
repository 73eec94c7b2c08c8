"""A distributed deployment that tests may throw garbage at."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.deployment import Distributed
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.raw_calls import RawCaller, raw_caller, sample
from tests.support.raw_rabbit import Letter, take
from tests.support.waiting import eventually_sync


@dataclass(frozen=True)
class Target:
    """Two servers and two workers, their broker, and what is counted on the servers together."""

    deployment: Distributed
    broker_url: str
    caller: RawCaller

    @property
    def pids(self) -> list[int]:
        """Process ids of all that must live on."""
        processes = (*self.deployment.servers, *self.deployment.workers)
        assert all(process.is_running for process in processes)
        return [process.pid for process in processes]

    def count(self, name: str, **labels: str) -> float:
        """Sum a series over the servers."""
        return sum(sample(server.metrics_address, name, **labels) for server in self.deployment.servers)

    def dead_letters(self) -> list[Letter]:
        """Take all dead letters."""
        return take(self.broker_url, "rejoinder.1.dead")

    def await_dead_letters(self, count: int) -> list[Letter]:
        """Take that many dead letters, and all that came with them."""
        letters: list[Letter] = []

        def enough() -> bool:
            letters.extend(self.dead_letters())
            return len(letters) >= count

        eventually_sync(enough, timeout=20)
        return letters

    def assert_works(self) -> None:
        """Assert that normal work goes on."""
        finished = self.caller.finished(self.caller.submit("test.echo", '{"rows":10}'))
        assert '{"rows":10}' == finished.result.json


@pytest.fixture(scope="session")
def target(
    tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster, rabbit_node: RabbitNode
) -> Iterator[Target]:
    """One deployment for all tests that throw garbage at one."""
    url = rabbit_node.url(rabbit_node.new_vhost())
    deployment = Distributed(
        tmp_path_factory.mktemp("target"),
        database_url=postgres_cluster.new_database(),
        broker_url=url,
        worker_arguments=["--heartbeat-interval=200ms"],
    )
    with deployment, raw_caller(deployment.first) as caller:
        yield Target(deployment, url, caller)
