"""Sides of both brokers, closed after each test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from rejoinder_broker import server_broker, worker_broker
from tests.support.broker_sides import RecordingServer, RecordingWorker, ServerSide, WorkerSide


class Sides:
    """Starts sides at one broker."""

    def __init__(self, url: str, *, server_url: str) -> None:
        self.url = url
        self._server_url = server_url
        self._stops: list[Callable[[], Awaitable[None]]] = []

    async def server(self, told: RecordingServer | None = None) -> ServerSide:
        """Start a server's side."""
        side = ServerSide(server_broker(self._server_url), told or RecordingServer())
        self._stops.append(side.broker.stop)
        await side.broker.start(side.told)
        return side

    async def worker(self, told: RecordingWorker | None = None) -> WorkerSide:
        """Start a worker's side."""
        side = WorkerSide(worker_broker(self.url), told or RecordingWorker())
        self._stops.append(side.broker.stop)
        await side.broker.start(side.told)
        return side

    async def stop(self) -> None:
        """Stop all of them."""
        for stop in reversed(self._stops):
            await asyncio.wait_for(stop(), timeout=60)


@pytest.fixture
async def rabbit_sides(rabbit_url: str) -> AsyncIterator[Sides]:
    """Sides at RabbitMQ."""
    sides = Sides(rabbit_url, server_url=rabbit_url)
    yield sides
    await sides.stop()


@pytest.fixture
async def local_sides(tmp_path: Path) -> AsyncIterator[Sides]:
    """Sides at a local broker, whose one server must start first."""
    url = f"local://{tmp_path}/broker"
    sides = Sides(url, server_url=url)
    yield sides
    await sides.stop()


@pytest.fixture(params=["local", "rabbitmq"])
def sides(request: pytest.FixtureRequest) -> Sides:
    """Sides at each of the brokers."""
    name = "local_sides" if request.param == "local" else "rabbit_sides"
    fixture: Sides = request.getfixturevalue(name)
    return fixture
