"""Values as rows and back, the same for every store: a row is a tuple in the order of its table's columns."""

import json
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, Protocol, TypeAlias

from rejoinder_server.operation import (
    NO_LABELS,
    Change,
    Operation,
    RetryPolicy,
    State,
    Timeouts,
    Transition,
    TypeRecord,
    WorkerRecord,
)
from rejoinder_server.store.columns import CHANGEABLE, EVERYWHERE, LIVING
from rejoinder_server.store.port import DataRefused

Row: TypeAlias = tuple[Any, ...]


class Cells(Protocol):
    """A row as a database's driver returns it."""

    def __getitem__(self, place: int, /) -> Any:
        """Return the value of one column."""


_STATES: Final = {int(state): state for state in State}


_settled = attrgetter(
    "type",
    "correlation_id",
    "labels",
    "priority",
    "request_id",
    "fingerprint",
    "headers",
    "create_time",
    "purged_time",
    "timeouts",
    "retry_policy",
    "retention",
)


def columns_to_write(changes: Iterable[tuple[Operation, Operation]]) -> tuple[str, ...]:
    """Return the columns that these changes must write: few while operations live, all when one is purged."""
    return LIVING if all(_settled(before) == _settled(after) for before, after in changes) else CHANGEABLE


def operation_row(operation: Operation) -> Row:
    """Return an operation as a row.

    Raises:
        DataRefused: A text holds a NUL character.
    """
    timeouts, policy = operation.timeouts, operation.retry_policy
    return _storable(
        (
            operation.namespace,
            operation.operation_id,
            operation.uid,
            operation.type,
            operation.queue,
            int(operation.state),
            operation.revision,
            operation.sequence,
            operation.nonce,
            operation.attempt,
            operation.error_reason,
            operation.progress_revision,
            operation.progress_time,
            operation.correlation_id,
            json_text(operation.labels),
            operation.priority,
            operation.request_id,
            operation.fingerprint,
            json_text(operation.headers),
            operation.create_time,
            operation.update_time,
            operation.due_time,
            operation.start_time,
            operation.end_time,
            operation.expire_time,
            operation.purged_time,
            operation.cancel_request_time,
            operation.cancel_reason,
            timeouts.queue,
            timeouts.attempt,
            timeouts.total,
            policy.max_attempts,
            policy.initial_backoff,
            policy.backoff_multiplier,
            policy.max_backoff,
            operation.retention,
            operation.failures,
            operation.grant_nonce,
            operation.worker,
            operation.connection_id,
            operation.grant_time,
            operation.lease_time,
            operation.reported,
            operation.progress,
            operation.error,
            operation.result,
        )
    )


def operation_from(row: Cells) -> Operation:
    """Return the operation that a row holds."""
    return Operation(
        namespace=row[0],
        operation_id=row[1],
        uid=row[2],
        type=row[3],
        queue=row[4],
        state=_STATES[row[5]],
        revision=row[6],
        sequence=row[7],
        nonce=row[8],
        attempt=row[9],
        error_reason=row[10],
        progress_revision=row[11],
        progress_time=row[12],
        correlation_id=row[13],
        labels=_mapping(row[14]),
        priority=row[15],
        request_id=row[16],
        fingerprint=row[17],
        headers=_mapping(row[18]),
        create_time=row[19],
        update_time=row[20],
        due_time=row[21],
        start_time=row[22],
        end_time=row[23],
        expire_time=row[24],
        purged_time=row[25],
        cancel_request_time=row[26],
        cancel_reason=row[27],
        timeouts=Timeouts(queue=row[28], attempt=row[29], total=row[30]),
        retry_policy=RetryPolicy(
            max_attempts=row[31], initial_backoff=row[32], backoff_multiplier=row[33], max_backoff=row[34]
        ),
        retention=row[35],
        failures=row[36],
        grant_nonce=row[37],
        worker=row[38],
        connection_id=row[39],
        grant_time=row[40],
        lease_time=row[41],
        reported=row[42],
        progress=row[43],
        error=row[44],
        result=row[45],
    )


def kept(changes: Iterable[Change]) -> list[tuple[Operation, Operation]]:
    """Return before and after of the changes that keep their operation, in the order of their keys.

    The order is the one in which every transaction locks, so that two of them cannot wait for each other.
    """
    pairs = [(change.before, change.after) for change in changes if change.after is not None]
    return sorted(pairs, key=lambda pair: pair[0].key)


def transition_row(transition: Transition) -> Row:
    """Return a transition as a row.

    Raises:
        DataRefused: A text holds a NUL character.
    """
    return _storable(
        (
            transition.namespace,
            transition.uid,
            transition.sequence,
            transition.revision,
            transition.nonce,
            int(transition.state),
            transition.attempt,
            transition.time,
            transition.worker,
            transition.reason,
            transition.error,
        )
    )


def transition_from(row: Cells) -> Transition:
    """Return the transition that a row holds."""
    return Transition(
        namespace=row[0],
        uid=row[1],
        sequence=row[2],
        revision=row[3],
        nonce=row[4],
        state=_STATES[row[5]],
        attempt=row[6],
        time=row[7],
        worker=row[8],
        reason=row[9],
        error=row[10],
    )


def type_row(record: TypeRecord) -> Row:
    """Return a type as a row.

    Raises:
        DataRefused: A text holds a NUL character.
    """
    timeouts, policy = record.timeouts, record.retry_policy
    return _storable(
        (
            EVERYWHERE,
            record.name,
            record.queue,
            record.description,
            timeouts.queue,
            timeouts.attempt,
            timeouts.total,
            policy.max_attempts,
            policy.initial_backoff,
            policy.backoff_multiplier,
            policy.max_backoff,
            record.last_seen_time,
        )
    )


def type_from(row: Cells) -> TypeRecord:
    """Return the type that a row holds."""
    return TypeRecord(
        name=row[1],
        queue=row[2],
        description=row[3],
        timeouts=Timeouts(queue=row[4], attempt=row[5], total=row[6]),
        retry_policy=RetryPolicy(
            max_attempts=row[7], initial_backoff=row[8], backoff_multiplier=row[9], max_backoff=row[10]
        ),
        last_seen_time=row[11],
    )


def worker_row(record: WorkerRecord) -> Row:
    """Return a worker process as a row.

    Raises:
        DataRefused: A text holds a NUL character.
    """
    for name in record.types:
        refuse_nul(name)
    return _storable(
        (
            EVERYWHERE,
            record.worker,
            record.connection_id,
            json.dumps(record.types, ensure_ascii=False),
            record.free_slots,
            record.total_slots,
            record.zombies,
            record.unreadable_messages,
            record.lease_time,
        )
    )


def worker_from(row: Cells) -> WorkerRecord:
    """Return the worker process that a row holds."""
    return WorkerRecord(
        worker=row[1],
        connection_id=row[2],
        types=tuple(json.loads(row[3])),
        free_slots=row[4],
        total_slots=row[5],
        zombies=row[6],
        unreadable_messages=row[7],
        lease_time=row[8],
    )


def json_text(mapping: Mapping[str, str]) -> str:
    """Return a mapping as JSON text.

    Raises:
        DataRefused: A key or a value holds a NUL character.
    """
    if not mapping:
        return "{}"
    for key, value in mapping.items():
        refuse_nul(key)
        refuse_nul(value)
    return json.dumps(dict(mapping), ensure_ascii=False)


def refuse_nul(text: str) -> None:
    """Refuse a text with a NUL character, which PostgreSQL cannot hold; every store refuses the same values.

    Raises:
        DataRefused: There is one.
    """
    if "\0" in text:
        raise DataRefused("the store cannot hold a text with a NUL character")


def _storable(row: Row) -> Row:
    for value in row:
        if value.__class__ is str:
            refuse_nul(value)
    return row


def _mapping(text: str) -> Mapping[str, str]:
    if text == "{}":
        return NO_LABELS
    mapping: dict[str, str] = json.loads(text)
    return mapping
