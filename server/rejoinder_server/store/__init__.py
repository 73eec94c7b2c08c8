"""Where operations are kept: the Store port and its two implementations."""

import time
from collections.abc import Callable

from rejoinder_server.store.port import Store, StoreRefused

__all__ = ["open_store"]


def open_store(
    url: str,
    *,
    connections: int = 10,
    timeout_seconds: float = 10.0,
    clock: Callable[[], float] = time.time,
) -> Store:
    """Return the store that a URL names, not yet connected.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/database`.
        connections: How many connections it may have at a time; SQLite reads with as many threads.
        timeout_seconds: The longest wait for a connection, and the longest that a statement or a lock may take.
        clock: Seconds since the epoch, for SQLite; PostgreSQL has its own clock, the same for every server.

    Raises:
        StoreRefused: The URL is malformed, or what it needs is not installed.
    """
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        from rejoinder_server.store.sqlite import SqliteStore

        return SqliteStore(url, readers=connections, timeout_seconds=timeout_seconds, clock=clock)
    if scheme in {"postgresql", "postgres"}:
        try:
            from rejoinder_server.store.postgres import PostgresStore
        except ModuleNotFoundError as error:
            if error.name != "asyncpg":
                raise
            raise StoreRefused("PostgreSQL needs asyncpg: install rejoinder[postgres]") from error
        return PostgresStore(url, connections=connections, timeout_seconds=timeout_seconds)
    raise StoreRefused("the store's URL must begin with sqlite:///, postgresql:// or postgres://")
