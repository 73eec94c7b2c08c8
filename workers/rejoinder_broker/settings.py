"""Configuration as typed settings: one class of fields gives flags, environment variables and their documentation.

A field `sweep_interval` is the flag `--sweep-interval` and the variable `REJOINDER_SWEEP_INTERVAL`; flags win. Nothing
is read before a command asks for it.
"""

import re
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import IO, Annotated, Any, TypeVar, get_args, get_origin

import click
from pydantic import BeforeValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode

PREFIX = "REJOINDER_"

_LONGEST_SHOWN = 100

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: object) -> object:
    """Read `90s`, `1h30m`, `500ms` or `7d` as a timedelta; anything but text passes.

    Raises:
        ValueError: The text is no duration, and says what one looks like.
    """
    if not isinstance(text, str):
        return text
    if not text or _PART.sub("", text):
        raise ValueError("must be a duration such as 500ms, 30s, 1h30m or 7d")
    return sum((timedelta(seconds=float(n) * _SECONDS[unit]) for n, unit in _PART.findall(text)), timedelta())


def format_duration(value: timedelta) -> str:
    """Write a duration the way that `parse_duration` reads it, in the largest unit that divides it."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    return f"{milliseconds}ms"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _positive(value: object) -> object:
    parsed = parse_duration(value)
    if isinstance(parsed, timedelta) and parsed <= timedelta():
        raise ValueError("must be longer than zero")
    return parsed


Duration = Annotated[timedelta, BeforeValidator(_positive)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several names, separated by commas in a variable; the flag may be repeated."""

Settings = TypeVar("Settings", bound=BaseSettings)
Function = TypeVar("Function", bound=Callable[..., Any])


def flag_of(name: str) -> str:
    """Return the flag of a field."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


def default_text(field: FieldInfo) -> str:
    """Return a field's default the way that a flag takes it."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, timedelta):
        return format_duration(default)
    if isinstance(default, tuple):
        return ",".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)


def options(settings: type[BaseSettings]) -> Callable[[Function], Function]:
    """Give a click command an option for each field of a settings class; what is not given stays away."""

    def decorate(function: Function) -> Function:
        for name, field in reversed(settings.model_fields.items()):
            default = default_text(field)
            function = click.option(
                flag_of(name),
                name,
                multiple=_is_tuple(field),
                metavar=_metavar(field),
                help=(field.description or "")
                + (f" [{variable_of(name)}; default {default}]" if default else f" [{variable_of(name)}]"),
            )(function)
        return function

    return decorate


class Misconfigured(click.ClickException):
    """Flags or variables are not acceptable; shown as one line, with exit code 2."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        context = click.get_current_context(silent=True)
        self._program = context.find_root().info_name if context else "rejoinder"

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(f"{self._program}: {self.message}", file=file, err=file is None)


def load(settings: type[Settings], given: dict[str, Any]) -> Settings:
    """Read the settings from flags and the environment.

    Raises:
        Misconfigured: A value is not acceptable; the text names its flag or variable, and shows no URL.
    """
    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    try:
        return settings(**chosen)
    except ValidationError as error:
        raise Misconfigured("; ".join(_told(problem, chosen) for problem in error.errors())) from None


def _told(problem: ErrorDetails, chosen: Collection[str]) -> str:
    text = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return text  # what is wrong with several together names them itself
    name = str(problem["loc"][0])
    source = flag_of(name) if name in chosen else variable_of(name)
    # Only short plain values are shown again: others may hold a password.
    value = problem["input"]
    is_plain = isinstance(value, str) and len(value) <= _LONGEST_SHOWN and "@" not in value
    return f"{source}: {text}" + (f" (got {value!r})" if is_plain else "")


def _is_tuple(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _metavar(field: FieldInfo) -> str:
    if field.annotation is timedelta:
        return "DURATION"
    choices = get_args(field.annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return "|".join(choices)
    for kind, name in ((bool, "true|false"), (int, "N"), (float, "NUMBER")):
        if field.annotation is kind:
            return name
    return "TEXT"
