import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from rejoinder_server.operation import SECOND, Operation, State, Watermark, WorkerRecord
from rejoinder_server.store import open_store
from rejoinder_server.store.port import (
    Astray,
    ByKey,
    DataRefused,
    Due,
    Expired,
    Lapsed,
    Moment,
    Reported,
    Store,
    StoreRefused,
    StoreUnavailable,
    Writes,
)
from rejoinder_server.store.postgres.locking import prelude
from tests.support.operations import acceptance, granted, moved
from tests.support.postgres import PASSWORD, PostgresCluster
from tests.support.storing import change, changed, due_ids, read_one, selected, stored, stored_all
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresCluster]:
    """A cluster for tests that kill and freeze it."""
    cluster = PostgresCluster()
    cluster.start()
    yield cluster
    cluster.remove()


@asynccontextmanager
async def opened(url: str, *, connections: int = 4, timeout_seconds: float = 10) -> AsyncIterator[Store]:
    store = open_store(url, connections=connections, timeout_seconds=timeout_seconds)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def rows_held(url: str, *operations: Operation) -> AsyncIterator[None]:
    """Hold locks on operations from outside."""
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        for operation in operations:
            await connection.execute(
                "SELECT FROM operations WHERE operation_id = $1 FOR UPDATE", operation.operation_id
            )
        yield
    await connection.close()


async def waits_for_a_lock(url: str) -> bool:
    """Return whether a statement in this database waits for another transaction."""
    connection = await asyncpg.connect(url)
    waits: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
    await connection.close()
    return waits


async def refusal(url: str) -> str:
    """Return the message with which a URL is refused, by open and by migrate alike."""
    messages = set()
    for call in (open_store(url).open, open_store(url).migrate):
        with pytest.raises(StoreRefused) as caught:
            await call()
        messages.add(str(caught.value))
    [message] = messages
    assert "\n" not in message
    return message


async def test_a_wrong_password_is_refused_and_not_shown(postgres_cluster: PostgresCluster) -> None:
    message = await refusal(postgres_cluster.url("postgres", password="wrong-secret"))
    assert (
        f"postgresql://127.0.0.1:{postgres_cluster.port}/postgres: password authentication failed for user" in message
    )
    assert "wrong-secret" not in message


async def test_an_unknown_database_is_refused(postgres_cluster: PostgresCluster) -> None:
    message = await refusal(postgres_cluster.url("unknown"))
    assert 'database "unknown" does not exist' in message
    assert PASSWORD not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:se@cret:secret@127.0.0.1:1/database",
        "postgresql://user:secret@127.0.0.1:port-secret/database",
        "postgresql://user:sec/secret@127.0.0.1:5432/database",
        "postgresql://user:secret@127.0.0.1:99999/database",
        "postgresql://user:secret@[::1/database",
        "postgresql://user:secret@127.0.0.1/database?sslmode=secret",
        "postgresql://user:secret@127.0.0.1/database?secret",
    ],
)
async def test_a_malformed_url_is_refused_and_nothing_of_it_shown(url: str) -> None:
    message = await refusal(url)
    assert "postgresql://user:password@host:port/database" in message
    assert "secret" not in message


async def test_an_unreachable_server_is_unavailable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await open_store(f"postgresql://user:secret@127.0.0.1:{bound.getsockname()[1]}/database").open()


async def test_a_database_that_is_not_utf8_is_refused(postgres_cluster: PostgresCluster) -> None:
    postgres_cluster.sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    assert "ENCODING 'UTF8'" in await refusal(postgres_cluster.url("latin"))


async def test_a_database_of_another_program_is_refused(postgres_cluster: PostgresCluster) -> None:
    url = postgres_cluster.new_database(is_migrated=False)
    postgres_cluster.sql("CREATE TABLE operations (number integer)", database=url.rpartition("/")[2])
    assert 'relation "operations" already exists' in await refusal(url)
    postgres_cluster.drop_database(url)


async def test_a_killed_server_is_unavailable_and_comes_back(fragile: PostgresCluster) -> None:
    async with opened(fragile.new_database()) as store:
        before = await stored(store)
        await asyncio.gather(*(store.read([before.key]) for _ in range(20)))
        fragile.kill()
        for call in (store.now(), store.submit([acceptance()]), changed(store, before, moved)):
            with pytest.raises(StoreUnavailable):
                await call
        fragile.restart()
        assert await read_one(store, before.key) == before
        await asyncio.gather(*(stored(store) for _ in range(20)))


async def test_calls_under_way_when_the_server_is_killed_are_unavailable(fragile: PostgresCluster) -> None:
    url = fragile.new_database()
    async with opened(url) as store:
        before = await stored(store)

        def kill(_rows: Sequence[Operation], _moment: Moment) -> Writes:
            fragile.kill()
            return Writes(changes=[granted(before)])

        with pytest.raises(StoreUnavailable):
            await store.transact(ByKey([before.key]), kill)
        fragile.restart()
        assert await read_one(store, before.key) == before


async def test_a_frozen_server_is_unavailable_after_a_bounded_wait_and_comes_back(fragile: PostgresCluster) -> None:
    async with opened(fragile.new_database(), connections=2, timeout_seconds=0.5) as store:
        before = await stored(store)
        fragile.freeze()
        try:
            async with asyncio.timeout(20):
                answers = await asyncio.gather(
                    *(store.read([before.key]) for _ in range(6)),
                    *(changed(store, before, moved) for _ in range(2)),
                    return_exceptions=True,
                )
        finally:
            fragile.thaw()
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 8

        async def is_back() -> bool:
            try:
                return await read_one(store, before.key) is not None
            except StoreUnavailable:
                return False

        check: Callable[[], bool | Awaitable[bool]] = is_back
        await eventually(check, timeout=20)


async def test_a_store_whose_server_is_frozen_can_be_closed(fragile: PostgresCluster) -> None:
    store = open_store(fragile.new_database(), timeout_seconds=0.5)
    await store.open()
    await store.now()
    fragile.freeze()
    try:
        async with asyncio.timeout(10):
            await store.close()
    finally:
        fragile.thaw()


async def test_the_wait_for_a_connection_is_bounded(postgres_url: str) -> None:
    async with opened(postgres_url, connections=1, timeout_seconds=0.3) as store:
        held = await stored(store)
        async with rows_held(postgres_url, held):
            waiting = asyncio.create_task(changed(store, held, moved))
            with pytest.raises(StoreUnavailable):
                await asyncio.gather(waiting, store.now())
        await asyncio.gather(waiting, return_exceptions=True)


async def test_the_wait_for_a_lock_is_bounded(postgres_url: str) -> None:
    async with opened(postgres_url, timeout_seconds=0.3) as store:
        held = await stored(store)
        async with rows_held(postgres_url, held):
            with pytest.raises(StoreUnavailable, match="timeout"):
                await changed(store, held, moved)
        await changed(store, held, moved)


async def test_due_rows_that_are_held_are_skipped_and_hide_nothing(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        now = await store.now()
        operations = await stored_all(
            store, *(acceptance(operation_id=str(index), due_time=now - 10 + index) for index in range(6))
        )
        async with rows_held(postgres_url, operations[0], operations[1], operations[3]):
            assert ["2", "4", "5"] == await due_ids(store, limit=3)


async def test_a_claim_waits_for_the_one_before_it_in_its_queue(postgres_url: str) -> None:
    async with opened(postgres_url) as store, opened(postgres_url) as other:
        await stored(store, operation_id="only", due_time=await store.now() - SECOND)
        later: list[asyncio.Task[list[str]]] = []

        def grant(rows: Sequence[Operation], _moment: Moment) -> Writes:
            later.append(asyncio.ensure_future(due_ids(other)))
            return Writes(changes=[granted(row) for row in rows])

        await store.transact(Due("reports", ["reports.generate"], 1), grant)
        assert [] == await later[0]


async def test_a_claim_does_not_wait_for_another_queue(postgres_url: str) -> None:
    async with opened(postgres_url, timeout_seconds=2) as store:
        await stored(store, operation_id="there", queue="other", due_time=await store.now() - SECOND)
        connection = await asyncpg.connect(postgres_url)
        async with connection.transaction():
            await connection.execute(prelude(Due("reports", [], 1)))
            with pytest.raises(StoreUnavailable):
                await due_ids(store, queue="reports")
            assert ["there"] == await due_ids(store, queue="other")
        await connection.close()


async def test_recorders_wait_for_each_other_and_see_the_watermark_that_was_written(postgres_url: str) -> None:
    async with opened(postgres_url) as store, opened(postgres_url) as other:

        def advance(_rows: Sequence[Operation], moment: Moment) -> Writes:
            return Writes(watermark=Watermark(moment.watermark.time + 1, 0))

        await asyncio.gather(*((store, other)[index % 2].transact(Reported([], []), advance) for index in range(40)))
        assert await store.watermark() == Watermark(40, 0)


async def test_what_expired_or_lapsed_is_skipped_while_it_is_held(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        held, free = await stored_all(store, acceptance(expire_time=1), acceptance(expire_time=2))
        held, free = await change(store, [held, free], lambda it: granted(it, lease_time=1))
        async with rows_held(postgres_url, held):
            assert await selected(store, Expired([State.RUNNING], 5, 10)) == [free]
            assert await selected(store, Lapsed(5, 10)) == [free]


async def test_what_is_astray_is_skipped_while_it_is_held(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        held, free = await stored_all(store, acceptance(), acceptance())
        async with rows_held(postgres_url, held):
            assert await selected(store, Astray({held.type: "other"}, 10)) == [free]


async def test_a_worker_whose_row_another_server_is_renewing_is_not_forgotten(postgres_url: str) -> None:
    record = WorkerRecord(
        worker="worker",
        connection_id="connection",
        types=(),
        free_slots=1,
        total_slots=1,
        zombies=0,
        unreadable_messages=0,
        lease_time=1,
    )
    async with opened(postgres_url) as store, opened(postgres_url) as other:
        await store.transact(ByKey([]), lambda _rows, _moment: Writes(workers={"worker": record}))
        async with other._connections.transaction() as connection:  # type: ignore[attr-defined]
            await connection.execute("UPDATE workers SET lease_time = 9")
            forgetting = asyncio.create_task(store.transact(ByKey([]), lambda *_: Writes(workers_lapsed=5)))
            check: Callable[[], bool | Awaitable[bool]] = partial(waits_for_a_lock, postgres_url)
            await eventually(check)
            await connection.execute("COMMIT")
        await forgetting
        assert [9] == [each.lease_time for each in await store.workers()]


async def test_a_frozen_servers_transaction_is_ended_by_the_database(postgres_url: str) -> None:
    async with opened(postgres_url, timeout_seconds=0.5) as frozen, opened(postgres_url) as other:
        before = await stored(other)
        async with frozen._connections.transaction() as connection:  # type: ignore[attr-defined]
            await connection.execute("SELECT FROM operations FOR UPDATE")
            await changed(other, before, moved)


async def test_a_connection_is_given_back_after_every_kind_of_end(postgres_url: str) -> None:
    async with opened(postgres_url, connections=1, timeout_seconds=1) as store:
        before = await stored(store)
        for _ in range(5):
            with pytest.raises(DataRefused):
                await store.submit([acceptance(due_time=2**63)])
            with pytest.raises(ZeroDivisionError):
                await store.transact(ByKey([before.key]), lambda _rows, _moment: 1 // 0)  # type: ignore[arg-type,return-value]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await asyncio.gather(*(store.read([before.key]) for _ in range(100)))
        assert await read_one(store, before.key) == before
