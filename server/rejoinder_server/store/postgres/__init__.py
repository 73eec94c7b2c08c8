"""The store on PostgreSQL, for any number of servers."""

from rejoinder_server.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
