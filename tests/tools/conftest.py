"""Servers that tests of tools share."""

from collections.abc import Iterator

import pytest

from tests.support.processes import Server


@pytest.fixture(scope="session")
def echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An embedded server without handlers of anybody's: it offers rejoinder.echo."""
    folder = tmp_path_factory.mktemp("echo")
    with Server(f"--store=sqlite:///{folder}/rejoinder.db", log=folder / "server.log") as server:
        yield server
