"""Who gets the work, in which order, and what tokens have to do with it."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

from rejoinder.worker.v1.worker_pb2 import Token
from rejoinder_client import AsyncClient, AsyncHandle, State
from tests.support import raw_rabbit
from tests.support.deployment import SLOW, Deployment, Distributed, Embedded
from tests.support.postgres import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.side_effects import Effects
from tests.support.waiting import eventually

WORK_QUEUE = "rejoinder.1.work.test.test.work"
SECONDS = 60
CANCELLED_OPERATIONS = 200
LEAST_CANCELLED = 150


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def narrow(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Rejoinder in both ways with a single slot; the second way has two servers that grant."""
    folder = tmp_path_factory.mktemp("narrow")
    with ExitStack() as stack:
        if request.param == "embedded":
            yield stack.enter_context(Embedded(folder, *SLOW, threads=1))
        else:
            cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
            node: RabbitNode = request.getfixturevalue("rabbit_node")
            made = Distributed(
                folder,
                *SLOW,
                database_url=cluster.new_database(),
                broker_url=node.url(node.new_vhost()),
                threads=1,
                worker_count=1,
            )
            yield stack.enter_context(made)


@pytest.fixture
async def callers(narrow: Deployment) -> AsyncIterator[list[AsyncClient]]:
    """A caller at each server of the narrow deployment."""
    async with AsyncClient(narrow.first) as first, AsyncClient(narrow.last) as last:
        yield [first, last]


async def finished(handles: list[AsyncHandle]) -> None:
    """Wait until all have ended."""
    await asyncio.gather(*(handle.result(timeout=SECONDS) for handle in handles))


async def test_waiting_work_starts_in_the_order_of_priority_due_time_and_id(
    callers: list[AsyncClient], effects: Effects
) -> None:
    holder = await callers[0].submit("test.hold", effects.request())
    await eventually(effects.started)
    dice = random.Random(5)
    handles = await asyncio.gather(
        *(
            callers[index % 2].submit("test.work", effects.request(), priority=dice.choice((-100, -1, 0, 0, 7, 100)))
            for index in range(60)
        )
    )
    waiting = [await handle.status() for handle in handles]
    effects.open()
    await finished([holder, *handles])
    due = sorted(waiting, key=lambda each: (-each.priority, each.due_time, each.operation_id))
    assert [each.operation_id for each in due] == effects.started()[1:]


async def test_of_two_hundred_cancelled_operations_no_handler_ever_starts(
    deployment: Deployment, effects: Effects
) -> None:
    async with AsyncClient(deployment.first) as first, AsyncClient(deployment.last) as last:
        handles = await asyncio.gather(
            *(first.submit("test.work", effects.request(seconds=1)) for _ in range(CANCELLED_OPERATIONS))
        )
        await eventually(lambda: len(effects.started()) >= deployment.slots)
        answers = await asyncio.gather(*(last.attach(handle.id).cancel("too many") for handle in handles))
        for handle in handles:
            await last.attach(handle.id).status(wait_timeout=timedelta(seconds=SECONDS))
    cancelled = {answer.operation_id for answer in answers if answer.state is State.CANCELLED}
    assert len(cancelled) >= LEAST_CANCELLED
    assert set() == cancelled & set(effects.started())


@pytest.fixture(scope="module")
def claiming(
    tmp_path_factory: pytest.TempPathFactory, postgres_cluster: PostgresCluster, rabbit_node: RabbitNode
) -> Iterator[tuple[Distributed, str]]:
    """Workers that claim unasked every two seconds, and the URL of their broker; no server offers tokens again."""
    url = rabbit_node.url(rabbit_node.new_vhost())
    made = Distributed(
        tmp_path_factory.mktemp("claiming"),
        *SLOW,
        database_url=postgres_cluster.new_database(),
        broker_url=url,
        worker_arguments=["--claim-interval=2s"],
    )
    with made:
        yield made, url


async def test_work_runs_although_every_token_was_thrown_away(
    claiming: tuple[Distributed, str], effects: Effects
) -> None:
    deployment, url = claiming
    async with AsyncClient(deployment.first) as client:
        holders = [await client.submit("test.hold", effects.request()) for _ in range(deployment.slots)]
        await eventually(lambda: len(effects.started()) == deployment.slots)
        # Now no worker takes tokens: they lie in their queue, and are thrown away there.
        handles = [await client.submit("test.work", effects.request()) for _ in range(20)]
        thrown_away: list[raw_rabbit.Letter] = []

        def throw_away() -> bool:
            thrown_away.extend(raw_rabbit.take(url, WORK_QUEUE))
            return len(thrown_away) >= len(handles)

        await eventually(throw_away)
        effects.open()
        await finished(holders + handles)
    assert 0 == raw_rabbit.count(url, WORK_QUEUE)


async def test_work_runs_although_its_token_queue_was_deleted(
    claiming: tuple[Distributed, str], effects: Effects
) -> None:
    deployment, url = claiming
    async with AsyncClient(deployment.first) as client:
        await finished([await client.submit("test.work", effects.request())])
        raw_rabbit.delete_queue(url, WORK_QUEUE)
        await finished([await client.submit("test.work", effects.request()) for _ in range(20)])


async def test_ten_surplus_tokens_for_each_operation_make_nothing_run_twice(
    claiming: tuple[Distributed, str], effects: Effects
) -> None:
    deployment, url = claiming
    token = Token(queue="test", type="test.work").SerializeToString()
    async with AsyncClient(deployment.first) as first, AsyncClient(deployment.last) as last:
        handles: list[AsyncHandle] = []
        for index in range(50):
            handles.append(await (first, last)[index % 2].submit("test.work", effects.request(seconds=0.01)))
            raw_rabbit.publish_if_room(url, WORK_QUEUE, *[token] * 10)
        await finished(handles)
        raw_rabbit.publish_if_room(url, WORK_QUEUE, *[token] * 100)
        await finished([await first.submit("test.work", effects.request())])
    assert {1} == set(Counter(effects.started()).values())
    assert {1} == {start.attempt for start in effects.starts()}
