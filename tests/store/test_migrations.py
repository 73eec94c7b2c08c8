import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from rejoinder_server.store import open_store, schema
from rejoinder_server.store.port import StoreRefused
from tests.store.conftest import KINDS
from tests.support.postgres import PostgresCluster
from tests.support.storing import stored


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a store of each kind without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/rejoinder.db"
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    url = cluster.new_database(is_migrated=False)
    yield url
    cluster.drop_database(url)


def run_sql(url: str, statement: str, cluster: PostgresCluster) -> None:
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        with connection:
            connection.execute(statement)
        connection.close()
    else:
        cluster.sql(statement, database=url.rpartition("/")[2])


def later(*, min_program: int) -> schema.Migration:
    return schema.Migration(2, "0002_later", min_program, "CREATE TABLE later (number integer);")


async def test_migrating_an_empty_store_names_what_was_applied(empty_url: str) -> None:
    assert ["0001_operations"] == await open_store(empty_url).migrate()


async def test_migrating_twice_applies_nothing_the_second_time(empty_url: str) -> None:
    await open_store(empty_url).migrate()
    assert [] == await open_store(empty_url).migrate()


async def test_opening_an_empty_store_migrates_it(empty_url: str) -> None:
    store = open_store(empty_url)
    await store.open()
    await stored(store)
    await store.close()


async def test_what_is_stored_outlasts_closing_and_opening(empty_url: str) -> None:
    store = open_store(empty_url)
    await store.open()
    operation = await stored(store)
    await store.close()
    again = open_store(empty_url)
    await again.open()
    assert await again.read([operation.key]) == [operation]
    await again.close()


async def test_servers_that_open_an_empty_database_at_once_migrate_it_once(postgres_cluster: PostgresCluster) -> None:
    url = postgres_cluster.new_database(is_migrated=False)
    stores = [open_store(url, connections=1) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.close() for store in stores))
    assert "1" == postgres_cluster.sql("SELECT number FROM schema_migrations", database=url.rpartition("/")[2])
    postgres_cluster.drop_database(url)


async def test_a_store_that_needs_a_newer_program_is_refused(empty_url: str, postgres_cluster: PostgresCluster) -> None:
    await open_store(empty_url).migrate()
    run_sql(empty_url, "INSERT INTO schema_migrations (number, name, min_program) VALUES (9, 'x', 9)", postgres_cluster)
    for refused in (open_store(empty_url).open, open_store(empty_url).migrate):
        with pytest.raises(StoreRefused, match="run a newer rejoinder-server"):
            await refused()


async def test_a_newer_store_that_still_suits_this_program_is_opened(
    empty_url: str, postgres_cluster: PostgresCluster
) -> None:
    await open_store(empty_url).migrate()
    run_sql(empty_url, "INSERT INTO schema_migrations (number, name, min_program) VALUES (9, 'x', 1)", postgres_cluster)
    store = open_store(empty_url)
    await store.open()
    await store.close()


async def test_a_store_that_is_behind_is_refused_until_it_is_migrated(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_store(empty_url).migrate()
    kind = "sqlite" if empty_url.startswith("sqlite") else "postgres"
    known = [*schema.load(kind), later(min_program=1)]
    monkeypatch.setattr(f"rejoinder_server.store.{kind}.store.load", lambda _dialect: known)
    with pytest.raises(StoreRefused, match="run `rejoinder-server migrate`"):
        await open_store(empty_url).open()
    assert ["0002_later"] == await open_store(empty_url).migrate()
    store = open_store(empty_url)
    await store.open()
    await store.close()


async def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "sqlite" if empty_url.startswith("sqlite") else "postgres"
    known = schema.load(kind)
    broken = schema.Migration(2, "0002_broken", 1, "CREATE TABLE later (number integer);\nSELECT nonsense;")
    with monkeypatch.context() as patched:
        patched.setattr(f"rejoinder_server.store.{kind}.store.load", lambda _dialect: [*known, broken])
        with pytest.raises(Exception, match="nonsense"):
            await open_store(empty_url).migrate()
    assert ["0001_operations"] == await open_store(empty_url).migrate()


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_are_numbered_without_gaps(kind: str) -> None:
    numbers = [migration.number for migration in schema.load(kind)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_no_migration_asks_for_a_program_newer_than_itself(kind: str) -> None:
    assert all(migration.min_program <= migration.number for migration in schema.load(kind))


def test_both_stores_have_the_same_migrations() -> None:
    [sqlite, postgres] = [[each.name for each in schema.load(kind)] for kind in KINDS]
    assert sqlite == postgres
