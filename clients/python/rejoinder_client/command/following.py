"""Following one operation to its end, and leaving it in good order."""

import json
import shlex
from dataclasses import dataclass
from datetime import timedelta

import click

from rejoinder_client.actions import WatchOptions
from rejoinder_client.client import Handle
from rejoinder_client.command import exits
from rejoinder_client.command.display import Display, make_display
from rejoinder_client.command.options import DEFAULT_SERVER, Connecting
from rejoinder_client.command.output import clean, describe_update, print_json, print_operation, show
from rejoinder_client.views import Operation, Update, UpdateKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """How to follow.

    Attributes:
        shows_updates: Print each update on standard output (watch), not only the end (wait).
        timeout: Leave after this long.
        reconnect_for: Give up when no server was heard for this long; None never does.
        cursor: Begin after this place.
        from_start: Begin with the first transition.
    """

    shows_updates: bool
    timeout: timedelta | None = None
    reconnect_for: timedelta | None = None
    cursor: str = ""
    from_start: bool = False


def follow(handle: Handle, connecting: Connecting, following: Following) -> int:
    """Follow an operation to its end and return the exit status that it stands for."""
    options = WatchOptions(
        cursor=following.cursor,
        from_start=following.from_start,
        timeout=following.timeout,
        reconnect_for=following.reconnect_for,
        heartbeats=True,
    )
    cursor = following.cursor
    operation: Operation | None = None
    try:
        with make_display(tells=not following.shows_updates, server=connecting.server) as display:
            options["on_interruption"] = display.interrupted
            for update in handle.watch(**options):
                cursor, operation = update.cursor, update.operation
                _show(update, display, connecting, following)
        # A watch from a cursor at the end shows nothing, and the end is what was asked for.
        operation = operation or handle.status()
    except KeyboardInterrupt:
        click.echo(_detached(handle.id, cursor, connecting, following), err=True)
        return exits.INTERRUPTED
    _print_end(operation, connecting, following)
    return exits.of_state(operation.state)


def _show(update: Update, display: Display, connecting: Connecting, following: Following) -> None:
    if update.operation is not None:
        display.update(update.operation)
    if not following.shows_updates or update.kind is UpdateKind.HEARTBEAT:
        return
    if connecting.output == "json":
        display.line(json.dumps(update.to_dict(), ensure_ascii=False))
    elif update.kind is not UpdateKind.PROGRESS or not display.shares_screen:
        # On a shared screen the bar shows the progress.
        display.line(clean(describe_update(update)))


def _print_end(operation: Operation, connecting: Connecting, following: Following) -> None:
    if not following.shows_updates:
        print_json(operation) if connecting.output == "json" else print_operation(operation)
    elif connecting.output == "table" and operation.result is not None:
        click.echo(clean(show(operation.result)))


def _detached(operation_id: str, cursor: str, connecting: Connecting, following: Following) -> str:
    command = ["rejoinder", "watch" if following.shows_updates else "wait", operation_id]
    if connecting.server != DEFAULT_SERVER:
        command += ["--server", connecting.server]
    if connecting.namespace:
        command += ["--namespace", connecting.namespace]
    if connecting.output != "table":
        command += ["-o", connecting.output]
    if following.shows_updates and cursor:
        command += ["--cursor", cursor]
    return f"Detached; operation {operation_id} goes on. Come back with:\n  {shlex.join(command)}"
