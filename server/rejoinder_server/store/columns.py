"""The columns of the tables, the same in every store, which adds nothing but its own spelling of their kinds."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, TypeAlias

EVERYWHERE: Final = "*"
"""The namespace in the keys of what serves every namespace; no real namespace can have this name."""


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer of 64 bits"
    REAL = "double precision"
    BYTES = "bytes"
    JSON = "JSON"


Columns: TypeAlias = Mapping[str, Kind]

OPERATION: Final[Columns] = {
    "namespace": Kind.TEXT,
    "operation_id": Kind.TEXT,
    "uid": Kind.TEXT,
    "type": Kind.TEXT,
    "queue": Kind.TEXT,
    "state": Kind.INTEGER,
    "revision": Kind.INTEGER,
    "sequence": Kind.INTEGER,
    "nonce": Kind.TEXT,
    "attempt": Kind.INTEGER,
    "error_reason": Kind.TEXT,
    "progress_revision": Kind.INTEGER,
    "progress_time": Kind.INTEGER,
    "correlation_id": Kind.TEXT,
    "labels": Kind.JSON,
    "priority": Kind.INTEGER,
    "request_id": Kind.TEXT,
    "fingerprint": Kind.TEXT,
    "headers": Kind.JSON,
    "create_time": Kind.INTEGER,
    "update_time": Kind.INTEGER,
    "due_time": Kind.INTEGER,
    "start_time": Kind.INTEGER,
    "end_time": Kind.INTEGER,
    "expire_time": Kind.INTEGER,
    "purged_time": Kind.INTEGER,
    "cancel_request_time": Kind.INTEGER,
    "cancel_reason": Kind.TEXT,
    "queue_timeout": Kind.INTEGER,
    "attempt_timeout": Kind.INTEGER,
    "total_timeout": Kind.INTEGER,
    "max_attempts": Kind.INTEGER,
    "initial_backoff": Kind.INTEGER,
    "backoff_multiplier": Kind.REAL,
    "max_backoff": Kind.INTEGER,
    "retention": Kind.INTEGER,
    "failures": Kind.INTEGER,
    "grant_nonce": Kind.TEXT,
    "worker": Kind.TEXT,
    "connection_id": Kind.TEXT,
    "grant_time": Kind.INTEGER,
    "lease_time": Kind.INTEGER,
    "reported": Kind.INTEGER,
    "progress": Kind.BYTES,
    "error": Kind.BYTES,
    "result": Kind.BYTES,
}

IDENTITY: Final = ("namespace", "operation_id", "uid")
"""Columns that never change."""

SETTLED: Final = (
    "type",
    "correlation_id",
    "labels",
    "priority",
    "request_id",
    "fingerprint",
    "headers",
    "create_time",
    "purged_time",
    "queue_timeout",
    "attempt_timeout",
    "total_timeout",
    "max_attempts",
    "initial_backoff",
    "backoff_multiplier",
    "max_backoff",
    "retention",
)
"""Columns that are settled when an operation is accepted and change only when it is purged."""

CHANGEABLE: Final = tuple(name for name in OPERATION if name not in IDENTITY)
LIVING: Final = tuple(name for name in CHANGEABLE if name not in SETTLED)

TRANSITION: Final[Columns] = {
    "namespace": Kind.TEXT,
    "uid": Kind.TEXT,
    "sequence": Kind.INTEGER,
    "revision": Kind.INTEGER,
    "nonce": Kind.TEXT,
    "state": Kind.INTEGER,
    "attempt": Kind.INTEGER,
    "time": Kind.INTEGER,
    "worker": Kind.TEXT,
    "reason": Kind.TEXT,
    "error": Kind.BYTES,
}

REQUEST: Final[Columns] = {"namespace": Kind.TEXT, "uid": Kind.TEXT, "payload": Kind.BYTES}

TYPE: Final[Columns] = {
    "namespace": Kind.TEXT,
    "name": Kind.TEXT,
    "queue": Kind.TEXT,
    "description": Kind.TEXT,
    "queue_timeout": Kind.INTEGER,
    "attempt_timeout": Kind.INTEGER,
    "total_timeout": Kind.INTEGER,
    "max_attempts": Kind.INTEGER,
    "initial_backoff": Kind.INTEGER,
    "backoff_multiplier": Kind.REAL,
    "max_backoff": Kind.INTEGER,
    "last_seen_time": Kind.INTEGER,
}

WORKER: Final[Columns] = {
    "namespace": Kind.TEXT,
    "worker": Kind.TEXT,
    "connection_id": Kind.TEXT,
    "types": Kind.JSON,
    "free_slots": Kind.INTEGER,
    "total_slots": Kind.INTEGER,
    "zombies": Kind.INTEGER,
    "unreadable_messages": Kind.INTEGER,
    "lease_time": Kind.INTEGER,
}


def named(columns: Iterable[str], *, qualifier: str = "") -> str:
    """Write a list of columns for a statement, each behind the qualifier."""
    return ", ".join(qualifier + column for column in columns)
