"""Bringing an SQLite schema up to date."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from rejoinder_server.store.schema import Applied, Migration, missing, refuse_behind
from rejoinder_server.store.sqlite.connections import transaction

_MEMORY: Final = """
CREATE TABLE schema_migrations (
    number       INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    min_program  INTEGER NOT NULL,
    applied_time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""
_EXISTS: Final = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'"
_APPLIED: Final = "SELECT number, min_program FROM schema_migrations ORDER BY number"
_REMEMBER: Final = "INSERT INTO schema_migrations (number, name, min_program) VALUES (?, ?, ?)"


def migrate(connection: sqlite3.Connection, known: list[Migration], *, only_empty: bool = False) -> list[str]:
    """Apply what is missing, all of it or nothing, and return its names.

    Args:
        connection: A connection with no transaction under way.
        known: The migrations of this program.
        only_empty: Refuse a store that was used before and is behind, as servers do at their start.
    """
    with transaction(connection, "BEGIN EXCLUSIVE"):
        is_empty = connection.execute(_EXISTS).fetchone() is None
        if is_empty:
            connection.execute(_MEMORY)
        steps = missing([Applied(*row) for row in connection.execute(_APPLIED)], known)
        if only_empty and not is_empty:
            refuse_behind(steps)
        for step in steps:
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute(_REMEMBER, (step.number, step.name, step.min_program))
        connection.execute("COMMIT")
    return [step.name for step in steps]


def _statements(sql: str) -> Iterator[str]:
    # executescript would commit the transaction first.
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
