"""Connections to PostgreSQL: a bounded pool, bounded waits, transactions that never linger."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rejoinder_server.store.port import StoreUnavailable
from rejoinder_server.store.postgres.failures import connecting, shown, translated

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_GRACE_SECONDS: Final = 2.0
"""How much longer than the database itself we wait for its answer, so that it can say what went wrong."""

# Every query here knows its index and the order that it gives, whatever its arguments. So a plan is made once for each
# statement and kept; and since one that was made while the tables were small would scan or sort them when they are
# large, the ways to do that are closed from the start.
_PLANS: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}


class Connections:
    """A pool of connections to one database.

    Args:
        url: A postgresql:// URL.
        size: How many connections there may be.
        timeout_seconds: The longest wait for a connection, for a lock and for a statement.
    """

    def __init__(self, url: str, *, size: int, timeout_seconds: float) -> None:
        self.place = shown(url)
        self._url = url
        self._size = size
        self._timeout = timeout_seconds
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        """Make the pool with its first connection.

        Raises:
            StoreRefused: Malformed URL, refused credentials, unknown database.
            StoreUnavailable: The database cannot be reached.
        """
        with connecting(self.place):
            pool = asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._size,
                reset=_leave,
                **self._options(),
            )
            self._pool = await pool

    async def close(self) -> None:
        """Close all connections after the calls under way, or without them when they take too long."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await pool.close()
        except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
            pool.terminate()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Connection]:
        """Lend a connection of its own, outside the pool."""
        with connecting(self.place):
            connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(self._url, **self._options())
        try:
            with translated(self.place):
                yield connection
        finally:
            connection.terminate()

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """Lend a connection of the pool."""
        pool = self._pool
        if pool is None:
            raise StoreUnavailable(f"{self.place} is not open")
        with translated(self.place):
            connection = await pool.acquire(timeout=self._timeout)
            try:
                yield connection
            except (OSError, asyncio.CancelledError):
                # It may still be busy with what we no longer wait for.
                connection.terminate()
                raise
            finally:
                await pool.release(connection, timeout=self._timeout)

    @asynccontextmanager
    async def transaction(self, *, prelude: str = "") -> AsyncIterator[Connection]:
        """Lend a connection in a transaction, which the body commits; otherwise it is rolled back.

        Args:
            prelude: Statements without arguments that follow BEGIN in the same round trip.
        """
        async with self.lend() as connection:
            try:
                await connection.execute(f"BEGIN; {prelude}")
                yield connection
            except (OSError, asyncio.CancelledError):
                raise  # The connection goes, and its transaction with it.
            except BaseException:
                await _roll_back(connection)
                raise
            await _roll_back(connection)

    def _options(self) -> dict[str, Any]:
        milliseconds = str(int(self._timeout * 1000))
        return {
            "timeout": self._timeout,
            "command_timeout": self._timeout + _GRACE_SECONDS,
            "server_settings": {
                "application_name": "rejoinder-server",
                "default_transaction_isolation": "read committed",
                "statement_timeout": milliseconds,
                "lock_timeout": milliseconds,
                # A server that is frozen inside a transaction must not hold up the others.
                "idle_in_transaction_session_timeout": milliseconds,
                **_PLANS,
            },
        }


async def _roll_back(connection: Connection) -> None:
    # A connection that was lost took its transaction with it, and its stand-in refuses every call.
    with suppress(asyncpg.InterfaceError):
        if not connection.is_closed() and connection.is_in_transaction():
            await connection.execute("ROLLBACK")


async def _leave(_connection: Connection) -> None:
    """Give a connection back without a round trip: nothing here changes its session."""
