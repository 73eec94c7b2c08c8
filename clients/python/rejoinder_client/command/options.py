"""How the command reads what people type."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from rejoinder_client.client import Client
from rejoinder_client.duration import parse_duration

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

DEFAULT_SERVER = "localhost:50051"


@dataclass(slots=True)
class Connecting:
    """Options that every command takes; given before the command's name or after it."""

    server: str = DEFAULT_SERVER
    namespace: str = ""
    output: str = "table"

    def client(self) -> Client:
        """Return a client of that server and namespace."""
        return Client(self.server, namespace=self.namespace)


class DurationType(click.ParamType[timedelta]):
    """A duration like 30s, 5m or 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration that was typed."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeType(click.ParamType[datetime]):
    """A time like 2030-01-31T12:00:00Z; without a zone it is local."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time that was typed."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write it like 2030-01-31T12:00:00Z", param, ctx)


class LabelType(click.ParamType[tuple[str, str]]):
    """A label like team=billing."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return key and value."""
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        if not key or not equals:
            self.fail(f"{value!r} is no label; write it like team=billing", param, ctx)
        return key, text


class JsonText(click.ParamType[str]):
    """A JSON text, `-` for standard input, or `@file`; it is sent verbatim, so the server judges it."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        try:
            if value == "-":
                return sys.stdin.read()
            if value.startswith("@"):
                return Path(value[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.fail(f"cannot read {value}: {error}", param, ctx)
        return str(value)


DURATION = DurationType()
TIME = TimeType()
LABEL = LabelType()
JSON_TEXT = JsonText()


def connecting_options(command: CommandT) -> CommandT:
    """Add --server, --namespace and -o; they end up in the context's `Connecting`."""
    for decorate in (
        click.option(
            "-o",
            "--output",
            type=click.Choice(["table", "json"]),
            help="How to print on standard output.  [default: table]",
            expose_value=False,
            callback=_keep,
        ),
        click.option(
            "--namespace",
            envvar="REJOINDER_NAMESPACE",
            show_envvar=True,
            help="Partition of operations.",
            expose_value=False,
            callback=_keep,
        ),
        click.option(
            "--server",
            envvar="REJOINDER_SERVER",
            show_envvar=True,
            metavar="HOST:PORT[,...]",
            help=f"Server, or several.  [default: {DEFAULT_SERVER}]",
            expose_value=False,
            callback=_keep,
        ),
    ):
        command = decorate(command)
    return command


def _keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    connecting = context.find_root().ensure_object(Connecting)
    # The variable is read once more for the command itself; it must not undo what was typed before the command.
    typed = context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
    if value and (typed or context.parent is None):
        setattr(connecting, str(parameter.name), value)
