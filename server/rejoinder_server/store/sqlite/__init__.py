"""The store in one SQLite file, for one server."""

from rejoinder_server.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
