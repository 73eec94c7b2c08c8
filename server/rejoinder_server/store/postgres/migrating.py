"""Bringing a PostgreSQL schema up to date."""

from typing import Final

from rejoinder_server.store.port import StoreRefused
from rejoinder_server.store.postgres.connections import Connection
from rejoinder_server.store.schema import Applied, Migration, missing, refuse_behind

# An arbitrary number, the same in every program for ever: one of them migrates at a time.
_LOCK: Final = 7_264_153_809_114

_MEMORY: Final = """
CREATE TABLE schema_migrations (
    number       bigint PRIMARY KEY,
    name         text NOT NULL,
    min_program  bigint NOT NULL,
    applied_time timestamptz NOT NULL DEFAULT now()
)
"""
_EXISTS: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_APPLIED: Final = "SELECT number, min_program FROM schema_migrations ORDER BY number"
_REMEMBER: Final = "INSERT INTO schema_migrations (number, name, min_program) VALUES ($1, $2, $3)"


async def migrate(connection: Connection, known: list[Migration], *, only_empty: bool = False) -> list[str]:
    """Apply what is missing, all of it or nothing, and return its names.

    Args:
        connection: A connection with no transaction under way.
        known: The migrations of this program.
        only_empty: Refuse a store that was used before and is behind, as servers do at their start.
    """
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreRefused(f"the database's encoding is {encoding}: create it with ENCODING 'UTF8'")
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
        is_empty = not await connection.fetchval(_EXISTS)
        if is_empty:
            await connection.execute(_MEMORY)
        rows = await connection.fetch(_APPLIED)
        steps = missing([Applied(*row) for row in rows], known)
        if only_empty and not is_empty:
            refuse_behind(steps)
        for step in steps:
            await connection.execute(step.sql)
            await connection.execute(_REMEMBER, step.number, step.name, step.min_program)
        return [step.name for step in steps]
