"""Builders of operations and what belongs to them, for tests that care about a few of their fields."""

from dataclasses import replace
from itertools import count
from typing import Any

from rejoinder_server.operation import SECOND, Acceptance, Change, Instant, Operation, State, Transition

BEGIN: Instant = 1_900_000_000 * SECOND
"""A time of no importance, in the future of every real clock."""

_numbers = count(1)


def operation(**fields: Any) -> Operation:
    """Return an operation that waits, with fresh ids, but for these fields."""
    number = next(_numbers)
    operation_id = fields.get("operation_id", f"operation-{number}")
    defaults: dict[str, Any] = {
        "namespace": "default",
        "operation_id": operation_id,
        "uid": f"uid-{number}",
        "type": "reports.generate",
        "queue": "reports",
        "state": State.ACCEPTED,
        "revision": 1,
        "sequence": 1,
        "nonce": f"nonce-{number}",
        "correlation_id": operation_id,
        "request_id": f"request-{number}",
        "fingerprint": "1:fingerprint",
        "create_time": BEGIN,
        "update_time": fields.get("create_time", BEGIN),
        "due_time": fields.get("create_time", BEGIN),
        "retention": 60 * SECOND,
    }
    return Operation(**defaults | fields)


def transition(of: Operation, **fields: Any) -> Transition:
    """Return the latest transition of an operation, but for these fields."""
    defaults: dict[str, Any] = {
        "uid": of.uid,
        "namespace": of.namespace,
        "sequence": of.sequence,
        "revision": of.revision,
        "nonce": of.nonce,
        "state": of.state,
        "attempt": of.attempt,
        "time": of.update_time,
        "worker": of.worker,
        "reason": "TESTED",
    }
    return Transition(**defaults | fields)


def acceptance(*, request: bytes = b"request", **fields: Any) -> Acceptance:
    """Return the acceptance of an operation with these fields."""
    accepted = operation(**fields)
    return Acceptance(accepted, transition(accepted), request)


def moved(before: Operation, **fields: Any) -> Change:
    """Return a change of these fields with its transition."""
    after = replace(before, revision=before.revision + 1, sequence=before.sequence + 1, **fields)
    return Change(before, after, (transition(after),))


def granted(before: Operation, *, worker: str = "worker-1", **fields: Any) -> Change:
    """Return a change by which an operation runs in a worker process."""
    defaults: dict[str, Any] = {
        "state": State.RUNNING,
        "attempt": before.attempt + 1,
        "grant_nonce": f"grant-{next(_numbers)}",
        "worker": worker,
        "connection_id": f"connection-of-{worker}",
        "grant_time": before.update_time,
        "lease_time": before.update_time + 30 * SECOND,
    }
    return moved(before, **defaults | fields)


def purged(before: Operation, *, at: Instant, **fields: Any) -> Change:
    """Return a change by which only an operation's tombstone remains."""
    emptied: dict[str, Any] = {"result": None, "error": None, "progress": None, "labels": {}, "headers": {}}
    return Change(before, replace(before, purged_time=at, **emptied | fields))
