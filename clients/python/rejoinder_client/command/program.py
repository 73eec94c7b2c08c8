"""The commands: each reads its options, calls the SDK once or follows a watch, and prints."""

import itertools
import uuid
from datetime import timedelta
from typing import Any, cast

import click

from rejoinder_client.client import Handle
from rejoinder_client.command import exits
from rejoinder_client.command.following import Following, follow
from rejoinder_client.command.options import DURATION, JSON_TEXT, LABEL, TIME, Connecting, connecting_options
from rejoinder_client.command.output import print_json, print_operation, print_operations, print_types
from rejoinder_client.errors import RejoinderError
from rejoinder_client.payload import Payload
from rejoinder_client.requests import ListOptions, SubmitOptions
from rejoinder_client.views import Operation, State

pass_connecting = click.make_pass_decorator(Connecting, ensure=True)

TIMEOUT_OPTION = click.option("--timeout", type=DURATION, help="Stop waiting after this long (exit status 124).")
RECONNECT_OPTION = click.option(
    "--reconnect-for", type=DURATION, help="Give up when no server was heard for this long.  [default: never]"
)


class _Edge(click.Group):
    """Turns what went wrong into one line and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except RejoinderError as error:
            server = ctx.find_root().ensure_object(Connecting).server
            click.echo(f"rejoinder: {exits.describe(error, server)}", err=True)
            ctx.exit(exits.of_error(error))
        except UnicodeError:
            click.echo("rejoinder: an argument is no valid text", err=True)
            ctx.exit(exits.USAGE)
        except KeyboardInterrupt:
            ctx.exit(exits.INTERRUPTED)


@click.group(cls=_Edge, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="rejoinder", prog_name="rejoinder")
@connecting_options
def program() -> None:
    """Submit operations to Rejoinder, follow them, and get their results.

    Standard output holds data only; progress goes to standard error. The exit status is 0 when an operation succeeded,
    1 when it failed, 2 for bad usage, 3 when it was cancelled or timed out, 4 when no server is available, 124 when the
    wait timed out.
    """


@program.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("payload", metavar="[JSON|-|@FILE]", type=JSON_TEXT, default="null")
@click.option("--request-id", help="Idempotency key; made when left out.")
@click.option("--operation-id", help="Name of the operation; made by the server when left out.")
@click.option("--correlation-id", help="Your own id for matching replies.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="A label; may be repeated.")
@click.option("--priority", type=int, help="From -100 to 100, higher first.")
@click.option("--delay", type=DURATION, help="Do not run before this long has passed.")
@click.option("--at", "due_time", type=TIME, help="Do not run before this time.")
@click.option("--queue-timeout", type=DURATION, help="Longest wait for a worker.")
@click.option("--attempt-timeout", type=DURATION, help="Longest time of one attempt.")
@click.option("--total-timeout", type=DURATION, help="Longest time to the end.")
@click.option("--max-attempts", type=int, help="Attempts before it fails for good.")
@click.option("--retention", type=DURATION, help="How long it is kept after its end.")
@click.option("--validate-only", is_flag=True, default=None, help="Check everything, store nothing.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the end and print the operation.")
@click.option("--watch", "watches", is_flag=True, help="Print each update until the end.")
@TIMEOUT_OPTION
@RECONNECT_OPTION
@connecting_options
@pass_connecting
def submit(
    connecting: Connecting,
    /,
    *,
    type_name: str,
    payload: str,
    waits: bool,
    watches: bool,
    timeout: timedelta | None,
    reconnect_for: timedelta | None,
    labels: tuple[tuple[str, str], ...],
    **given: Any,
) -> None:
    """Submit an operation.

    TYPE names the work. The request is a JSON text, `-` for standard input, or @FILE; null when left out.
    """
    request_id = given.pop("request_id") or uuid.uuid4().hex
    options = cast("SubmitOptions", {"request_id": request_id, "labels": dict(labels), **given})
    follows = (waits or watches) and not given["validate_only"]
    with connecting.client() as client:
        try:
            handle = client.submit(type_name, Payload(json=payload), **options)
        except KeyboardInterrupt:
            click.echo(f"Interrupted before the answer; submit again with --request-id {request_id}", err=True)
            raise
        if handle.submission and handle.submission.deduplicated:
            click.echo("This request id was submitted before; this is that operation.", err=True)
        if not follows and handle.submission:
            _print(handle.submission.operation, connecting)
            return
        following = Following(shows_updates=watches, timeout=timeout, reconnect_for=reconnect_for)
        _exit(follow(handle, connecting, following))


@program.command()
@click.argument("operation_id")
@connecting_options
@pass_connecting
def get(connecting: Connecting, /, *, operation_id: str) -> None:
    """Print an operation as it is now."""
    with connecting.client() as client:
        _print(client.attach(operation_id).status(full=True), connecting)


@program.command()
@click.argument("operation_id")
@click.option("--cursor", default="", help="Begin after this place.")
@click.option("--from-start", is_flag=True, help="Begin with the first transition.")
@TIMEOUT_OPTION
@RECONNECT_OPTION
@connecting_options
@pass_connecting
def watch(connecting: Connecting, /, *, operation_id: str, **given: Any) -> None:
    """Print each update of an operation until its end."""
    with connecting.client() as client:
        handle = _reach(client.attach(operation_id))
        _exit(follow(handle, connecting, Following(shows_updates=True, **given)))


@program.command()
@click.argument("operation_id")
@TIMEOUT_OPTION
@RECONNECT_OPTION
@connecting_options
@pass_connecting
def wait(connecting: Connecting, /, *, operation_id: str, **given: Any) -> None:
    """Wait for an operation's end and print it."""
    with connecting.client() as client:
        handle = _reach(client.attach(operation_id))
        _exit(follow(handle, connecting, Following(shows_updates=False, **given)))


@program.command()
@click.argument("operation_id")
@click.option("--reason", default="", help="Why, for people.")
@connecting_options
@pass_connecting
def cancel(connecting: Connecting, /, *, operation_id: str, reason: str) -> None:
    """Ask for a cancel and print the operation.

    A waiting operation is cancelled at once; a running one is asked to stop and may still succeed.
    """
    with connecting.client() as client:
        _print(client.attach(operation_id).cancel(reason), connecting)


@program.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state for state in State if state is not State.UNSPECIFIED], case_sensitive=False),
    help="Only this state; may be repeated.",
)
@click.option("--type", "types", multiple=True, help="Only this type; may be repeated.")
@click.option("--queue", "queues", multiple=True, help="Only this queue; may be repeated.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="Only with this label; may be repeated.")
@click.option("--correlation-id", help="Only this correlation id.")
@click.option("--error-reason", help="Only ended with this reason.")
@click.option("--since", "create_time_from", type=TIME, help="Only created at or after this time.")
@click.option("--before", "create_time_before", type=TIME, help="Only created before this time.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most operations to print.")
@connecting_options
@pass_connecting
def list_operations(
    connecting: Connecting,
    /,
    *,
    limit: int,
    labels: tuple[tuple[str, str], ...],
    **given: Any,
) -> None:
    """Print operations, newest first.

    As JSON, there is one on each line.
    """
    filters = cast("ListOptions", {"labels": dict(labels), "page_size": min(limit, 1000), **given})
    with connecting.client() as client:
        found = itertools.islice(client.list(**filters), limit)
        if connecting.output == "table":
            print_operations(found)
            return
        for operation in found:
            print_json(operation, indent=None)


@program.command()
@connecting_options
@pass_connecting
def types(connecting: Connecting, /) -> None:
    """Print types of work and who serves them.

    As JSON, there is one on each line.
    """
    with connecting.client() as client:
        found = client.types()
    if connecting.output == "table":
        print_types(found)
        return
    for each in found:
        print_json(each, indent=None)


@program.command()
@click.argument("operation_id")
@connecting_options
@pass_connecting
def delete(connecting: Connecting, /, *, operation_id: str) -> None:
    """Purge an operation that has ended."""
    with connecting.client() as client:
        client.delete(operation_id)


def main() -> None:
    """Run the command."""
    program(prog_name="rejoinder")


def _reach(handle: Handle) -> Handle:
    # A watch resumes for ever; a wrong address or id shall be told at once.
    handle.status()
    return handle


def _print(operation: Operation, connecting: Connecting) -> None:
    if connecting.output == "json":
        print_json(operation)
    else:
        print_operation(operation)


def _exit(status: int) -> None:
    click.get_current_context().exit(status)
