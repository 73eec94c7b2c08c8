"""The `rejoinder-server` command."""

import asyncio
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import uvloop

from rejoinder_broker import BrokerRefused, logs
from rejoinder_broker.settings import load, options
from rejoinder_server.config import MigrateSettings, ServerSettings
from rejoinder_server.embedded import WorkerRefused
from rejoinder_server.store import open_store
from rejoinder_server.store.port import StoreError

Settings = TypeVar("Settings", ServerSettings, MigrateSettings)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("rejoinder"), message="rejoinder-server %(version)s")
@options(ServerSettings)
@click.pass_context
def main(context: click.Context, /, **given: Any) -> None:
    """Serve Rejoinder: take requests over gRPC, hand them to workers, answer later.

    Without any option: SQLite in ./rejoinder.db and a worker of its own that echoes.
    """
    context.obj = given
    if context.invoked_subcommand is None:
        context.invoke(serve)


@main.command()
@options(ServerSettings)
@click.pass_context
def serve(context: click.Context, /, **given: Any) -> None:
    """Serve until SIGTERM or SIGINT (the default)."""
    settings = _settings(ServerSettings, context, given)
    # Read by gRPC when it is imported. The embedded worker is another program, not a fork that goes on with gRPC; and
    # what gRPC would print of an address in use is told by our own line.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from rejoinder_server.app import App, CannotServe

    # Handler modules are found from where the command is run, like `python -m` finds them.
    sys.path.insert(0, str(Path.cwd()))
    try:
        uvloop.run(App(settings).run())
    except (StoreError, BrokerRefused, CannotServe, WorkerRefused) as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(130)


@main.command()
@options(MigrateSettings)
@click.pass_context
def migrate(context: click.Context, /, **given: Any) -> None:
    """Bring the store's schema up to date."""
    settings = _settings(MigrateSettings, context, given)
    try:
        applied = asyncio.run(open_store(settings.store).migrate())
    except StoreError as error:
        _fail(error)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("the schema is up to date")


def _settings(kind: type[Settings], context: click.Context, given: dict[str, Any]) -> Settings:
    outer = {name: value for name, value in (context.obj or {}).items() if value not in (None, ())}
    inner = {name: value for name, value in given.items() if value not in (None, ())}
    settings = load(kind, outer | inner)
    # What its pool meets in an outage of the store, the calls that met it tell.
    logs.configure(level=settings.log_level, format=settings.log_format, quiet={"asyncpg": logging.ERROR})
    return settings


def _fail(error: Exception) -> NoReturn:
    click.echo(f"rejoinder-server: {' '.join(str(error).split())}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
