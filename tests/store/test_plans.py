"""Among many operations, what must be quick touches few: counted in pages on PostgreSQL, in steps on SQLite."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from rejoinder_server.operation import SECOND, Acceptance, Key, State, TypeRecord
from rejoinder_server.store import open_store
from rejoinder_server.store.port import (
    Astray,
    ByKey,
    Due,
    Expired,
    HistorySpan,
    Lapsed,
    Query,
    Reported,
    Selection,
    Store,
    Writes,
)
from rejoinder_server.store.postgres import PostgresStore
from rejoinder_server.store.sqlite import SqliteStore
from tests.support.operations import BEGIN, acceptance, granted, moved, transition
from tests.support.postgres import PostgresCluster
from tests.support.storing import selected

MANY = 12_000
BATCH = 500
STATES = [State.ACCEPTED, State.ACCEPTED, State.SUCCEEDED]

MOST_PAGES = 400
"""An operation's row and its places in all indexes are some 30 pages; reading all rows by any index is 12,000."""

MOST_STEPS = 30_000
"""Reading all rows by any index is some 100,000 steps of SQLite's machine."""

Ask = Callable[[Store], Awaitable[Any]]


def among_many(number: int) -> Acceptance:
    """Return the acceptance of one of the many: waiting, some for later, or ended; a few run."""
    is_running = number % 600 == 0
    given = acceptance(
        operation_id=f"op-{number}",
        uid=f"many-{number}",
        correlation_id=f"correlation-{number // 3}",
        create_time=BEGIN + number,
        update_time=number,
        due_time=number if number % 4 == 0 else BEGIN + number,
        priority=number % 5,
        type=f"type.t{number % 3}",
        state=State.RUNNING if is_running else STATES[number // 4 % 3],
        worker=f"worker-{number}" if is_running else "",
        lease_time=number if is_running else None,
        expire_time=number,
    )
    return replace(given, transition=transition(given.operation))


async def fill(url: str) -> None:
    store = open_store(url)
    await store.open()
    for first in range(0, MANY, BATCH):
        await store.submit([among_many(number) for number in range(first, first + BATCH)])
    await store.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def full_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store of each kind with many operations."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('full')}/rejoinder.db"
    else:
        cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
        url = cluster.new_database()
    thread = threading.Thread(target=lambda: asyncio.run(fill(url)))
    thread.start()
    thread.join()
    yield url
    if request.param == "postgres":
        cluster.drop_database(url)


@pytest.fixture
async def full(full_url: str) -> AsyncIterator[Store]:
    """An open store with many operations, which reads through one connection."""
    store = open_store(full_url, connections=1)
    await store.open()
    yield store
    await store.close()


def locking(selection: Selection) -> Ask:
    return lambda store: selected(store, selection)


def listing(*, limit: int = 50, **fields: Any) -> Ask:
    return lambda store: store.query(Query(namespace="default", limit=limit, **fields))


def announcing(name: str, queue: str) -> Ask:
    record = TypeRecord(name=name, queue=queue, last_seen_time=BEGIN)
    return lambda store: store.transact(ByKey([]), lambda _rows, _moment: Writes(types={name: record}))


def granting(key: Key) -> Ask:
    return lambda store: store.transact(
        ByKey([key]), lambda rows, _moment: Writes(changes=[granted(rows[0])], leases={key: BEGIN + 60 * SECOND})
    )


def failing(key: Key) -> Ask:
    return lambda store: store.transact(
        ByKey([key]), lambda rows, _moment: Writes(changes=[moved(rows[0], state=State.FAILED)])
    )


QUICK: dict[str, Ask] = {
    "a claim of one type": locking(Due("reports", ["type.t1"], 16)),
    "a claim of several types": locking(Due("reports", ["type.t0", "type.t1", "type.t2"], 16)),
    "a claim in an empty queue": locking(Due("other", ["type.t0"], 16)),
    "a point read": lambda store: store.read([Key("default", "op-77")]),
    "a request": lambda store: store.requests([("default", "many-77")]),
    "a history": lambda store: store.history([HistorySpan("default", "many-77", 0, 9)]),
    "a first page": listing(),
    "a page in the middle": listing(before=(BEGIN + MANY // 2, "")),
    "a first page within so many bytes": listing(limit=25, most_bytes=2**20),
    "a first page without results": listing(with_outcomes=False, most_bytes=2**20),
    "a page of what runs": listing(states=[State.RUNNING]),
    "a page of a correlation id": listing(correlation_id="correlation-77"),
    "a sweep": locking(Expired([State.SUCCEEDED, State.RUNNING], BEGIN, 16)),
    "lapsed leases": locking(Lapsed(BEGIN, 16)),
    "a look for what is astray": locking(Astray({f"type.t{number}": "reports" for number in range(300)}, 1000)),
    "a few that are astray": locking(Astray({"type.t1": "other"}, 4)),
    "a look for leases that are too long": lambda store: store.transact(
        ByKey([]), lambda _rows, _moment: Writes(longest_lease=BEGIN, workers_lapsed=0)
    ),
    "a report": locking(Reported([Key("default", "op-77")], ["worker-600"])),
    "the next due time": lambda store: store.next_due_time(BEGIN),
    "kinds that just became due": lambda store: store.due_kinds(100, 120),
    "a submit": lambda store: store.submit([acceptance()]),
    "a submit of a known request": lambda store: store.submit([among_many(78)]),
    "a grant": granting(Key("default", "op-84")),
    "an end": failing(Key("default", "op-96")),
    "an announcement": announcing("type.t0", "reports"),
    "an announcement of a new type": announcing("type.new", "other"),
}


@pytest.mark.parametrize("ask", QUICK.values(), ids=QUICK)
async def test_what_must_be_quick_touches_little(full: Store, ask: Ask) -> None:
    await ask(full)
    if isinstance(full, PostgresStore):
        assert await pages(full, ask) < MOST_PAGES
    else:
        assert isinstance(full, SqliteStore)
        assert await steps(full, ask) < MOST_STEPS


async def test_a_claim_when_all_wait_for_later_touches_little(full: Store) -> None:
    far = BEGIN + 10**15
    type_ = f"type.{id(full)}"
    for _ in range(6):
        await full.submit([acceptance(type=type_, due_time=far) for _ in range(BATCH)])
    ask = locking(Due("reports", [type_], 16))
    if isinstance(full, PostgresStore):
        assert await pages(full, ask) < 30
    else:
        assert isinstance(full, SqliteStore)
        assert await steps(full, ask) < 3000


async def pages(store: PostgresStore, ask: Ask) -> int:
    """Return how many pages of tables and indexes an action touches."""
    before = await _pages(store)
    await ask(store)
    return await _pages(store) - before


async def _pages(store: PostgresStore) -> int:
    async with store._connections.lend() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        count: int = await connection.fetchval(
            "SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint"
            " FROM pg_statio_user_tables"
        )
        return count


async def steps(store: SqliteStore, ask: Ask) -> int:
    """Return how many steps SQLite's machine takes for an action, in hundreds."""
    counted = 0

    def count() -> None:
        nonlocal counted
        counted += 100

    await store._connections.write(lambda connection: connection.set_progress_handler(count, 100))
    await store._connections.read(lambda connection: connection.set_progress_handler(count, 100))
    await ask(store)
    return counted
