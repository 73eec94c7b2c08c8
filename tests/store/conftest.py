"""The stores that the conformance suite runs on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rejoinder_server.store import open_store
from rejoinder_server.store.port import Store

KINDS = ("sqlite", "postgres")


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rejoinder.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store of each kind."""
    opened = open_store(store_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def twin(store: Store, store_url: str) -> AsyncIterator[Store]:
    """What another server sees of the store: the same one where a second is refused."""
    if store_url.startswith("sqlite"):
        yield store
        return
    opened = open_store(store_url)
    await opened.open()
    yield opened
    await opened.close()
