"""What goes to standard output: data only."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from rejoinder_client.duration import format_duration
from rejoinder_client.payload import Payload
from rejoinder_client.plain import View
from rejoinder_client.views import Failure, Operation, OperationType, Progress, Update, UpdateKind


def print_json(view: View, *, indent: int | None = 2) -> None:
    """Print a view as JSON."""
    click.echo(json.dumps(view.to_dict(), ensure_ascii=False, indent=indent))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a header in aligned columns, nothing cut off."""
    lines = [tuple(header), *(tuple(map(clean, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_operations(operations: Iterable[Operation]) -> None:
    """Print one line for each operation."""
    print_table(
        ("OPERATION", "TYPE", "STATE", "PROGRESS", "ATTEMPT", "CREATED"),
        (
            (
                operation.operation_id,
                operation.type,
                describe_state(operation),
                describe_progress(operation.progress),
                str(operation.attempt),
                show(operation.create_time),
            )
            for operation in operations
        ),
    )


def print_types(types: Iterable[OperationType]) -> None:
    """Print one line for each type."""
    print_table(
        ("TYPE", "QUEUE", "WORKERS", "FREE/SLOTS", "WAITING", "DESCRIPTION"),
        (
            (
                each.name,
                each.queue,
                str(each.live_workers),
                f"{each.free_slots}/{each.total_slots}",
                str(each.waiting_count),
                each.description,
            )
            for each in types
        ),
    )


def print_operation(operation: Operation) -> None:
    """Print everything worth knowing about one operation, a line for each."""
    facts: dict[str, Any] = {
        "operation": operation.operation_id,
        "namespace": operation.namespace,
        "type": operation.type,
        "state": describe_state(operation),
        "waiting": operation.waiting_detail,
        "progress": describe_progress(operation.progress),
        "attempt": operation.attempt or "",
        "request": operation.request,
        "result": operation.result,
        "error": operation.error,
        "correlation": operation.correlation_id if operation.correlation_id != operation.operation_id else "",
        "labels": " ".join(f"{key}={value}" for key, value in sorted(operation.labels.items())),
        "priority": operation.priority or "",
        "cancel": operation.cancel_reason or show(operation.cancel_request_time),
        "created": operation.create_time,
        "due": operation.due_time if not operation.start_time else "",
        "started": operation.start_time,
        "ended": operation.end_time,
    }
    shown = {name: clean(show(value)) for name, value in facts.items()}
    width = max(map(len, shown))
    for name, text in shown.items():
        if text:
            click.echo(f"{name.ljust(width)}  {text}")


def describe_update(update: Update) -> str:
    """Return an update as one line."""
    operation, transition = update.operation, update.transition
    if update.kind is UpdateKind.PROGRESS:
        return f"{show(operation.update_time if operation else None)}  PROGRESS  {describe_progress(update.progress)}"
    if transition is not None:
        parts = [show(transition.time), transition.state, transition.reason]
        parts += [f"attempt {transition.attempt}"] if transition.attempt else []
        parts += [show(transition.error)] if transition.error else []
        return "  ".join(filter(None, parts))
    if operation is None:
        return ""
    mark = "history lost, starting anew" if update.gap else operation.waiting_detail
    parts = [show(operation.update_time), describe_state(operation), describe_progress(operation.progress), mark]
    return "  ".join(filter(None, parts))


def describe_state(operation: Operation) -> str:
    """Return the state with what qualifies it."""
    if operation.waiting_reason:
        return f"{operation.state} ({operation.waiting_reason})"
    if operation.cancel_request_time and not operation.state.is_terminal:
        return f"{operation.state} (cancel asked)"
    return operation.state


def describe_progress(progress: Progress | None) -> str:
    """Return a progress as `42% 420/1000 files: reading`."""
    if progress is None:
        return ""
    count = f"{progress.completed}/{progress.total}" if progress.total else str(progress.completed)
    percent = "" if progress.fraction is None else f"{progress.fraction:.0%} "
    line = f"{percent}{count} {progress.unit}".rstrip()
    return f"{line}: {progress.message}" if progress.message else line


def show(value: Any) -> str:
    """Return a value as people read it: local times, JSON, reasons with their messages."""
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case timedelta():
            return format_duration(value)
        case Payload():
            return (
                value.json if value.json is not None else f"{len(value.data or b'')} bytes {value.message_type}".strip()
            )
        case Failure():
            return f"{value.message} ({value.reason})" if value.reason not in value.message else value.message
        case _:
            return str(value)


def clean(text: str) -> str:
    """Return text as one line that cannot steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
