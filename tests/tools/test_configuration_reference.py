"""docs/configuration.md says what the programs have, no more and no less."""

import re
from collections.abc import Iterable
from datetime import timedelta
from functools import reduce
from importlib import import_module
from inspect import getattr_static
from typing import Any, get_args

import click
import pytest
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from rejoinder_broker.port import Kind
from rejoinder_broker.rabbitmq.topology import Topology
from rejoinder_broker.settings import default_text, flag_of, variable_of
from rejoinder_client.command.program import program
from rejoinder_server.command import main as server_command
from rejoinder_server.config import MigrateSettings, ServerSettings
from rejoinder_worker.command import main as worker_command
from rejoinder_worker.settings import WorkerSettings
from tests.support.documents import read, rows, section

DOCUMENT = "docs/configuration.md"
PROGRAMS = [("rejoinder-server", ServerSettings), ("rejoinder-worker", WorkerSettings)]

_SIZES = {"MiB": 1024 * 1024, "KiB": 1024}
_SECONDS = {"s": 1, "d": 86400}


def _bounds(field: FieldInfo) -> list[str]:
    def written(bound: Any) -> str:
        return f"{bound // timedelta(days=1)}d" if isinstance(bound, timedelta) and bound else str(bound)

    found = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    return [written(bound).replace("0:00:00", "0s") for bound in found.values()]


def _choices(field: FieldInfo) -> list[str]:
    return [choice for choice in get_args(field.annotation) if isinstance(choice, str)]


@pytest.mark.parametrize(("title", "settings"), PROGRAMS)
def test_every_flag_is_told_with_its_variable_and_its_default(title: str, settings: type[BaseSettings]) -> None:
    told = [row[:3] for row in rows(section(read(DOCUMENT), title), "flag")]

    has = [[flag_of(name), variable_of(name), default_text(field)] for name, field in settings.model_fields.items()]
    assert sorted(has) == sorted(told)


@pytest.mark.parametrize(("title", "settings"), PROGRAMS)
def test_the_kind_of_value_names_choices_and_bounds(title: str, settings: type[BaseSettings]) -> None:
    told = {row[0]: row[3] for row in rows(section(read(DOCUMENT), title), "flag")}

    for name, field in settings.model_fields.items():
        value = told[flag_of(name)]
        assert _choices(field) == (value.split(", ") if _choices(field) else [])
        assert _bounds(field) == (value.partition(", ")[2].split(" to ") if _bounds(field) else [])
        assert (field.annotation is timedelta) == value.startswith("duration")


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (server_command, ServerSettings),
        (server_command.commands["serve"], ServerSettings),
        (server_command.commands["migrate"], MigrateSettings),
        (worker_command, WorkerSettings),
    ],
)
def test_the_command_has_the_flags_of_its_settings_and_no_others(
    command: click.Command, settings: type[BaseSettings]
) -> None:
    given = {flag for option in _options(command) if not option.hidden for flag in option.opts}

    assert {flag_of(name) for name in settings.model_fields} == given - {"--version"}


def test_the_client_s_flags_are_told_for_each_of_its_commands() -> None:
    told = [(row[0], row[1]) for row in rows(section(read(DOCUMENT), "rejoinder"), "command")]

    connecting = {tuple(option.opts) for option in _options(program)}
    has = [
        (name, flag)
        for name, command in program.commands.items()
        for option in _options(command)
        if tuple(option.opts) not in connecting
        for flag in option.opts
    ]
    assert sorted(has) == sorted(told)


def test_the_client_s_common_flags_are_told_with_their_variables() -> None:
    told = {row[0]: row[1] for row in rows(section(read(DOCUMENT), "rejoinder"), "flag")}

    common = [option for option in _options(program) if not option.is_eager]
    assert {", ".join(option.opts): option.envvar or "" for option in common} == told


def test_every_command_of_the_client_takes_the_common_flags() -> None:
    common = {tuple(option.opts) for option in _options(program) if not option.is_eager}
    for name, command in program.commands.items():
        assert common <= {tuple(option.opts) for option in _options(command)}, name


@pytest.mark.parametrize("row", list(rows(section(read(DOCUMENT), "Limits"), "what")), ids=lambda row: row[-1])
def test_a_limit_is_what_the_code_says(row: list[str]) -> None:
    told, unit = _told(row[1])
    assert _value_of(row[-1], unit) == told


def test_every_field_of_limits_is_told() -> None:
    limits = import_module("rejoinder_server.limits").Limits
    told = {row[-1].rpartition(".")[2] for row in rows(section(read(DOCUMENT), "Limits"), "what")}

    assert set(limits.__dataclass_fields__) <= told


@pytest.mark.parametrize("row", [row for row in rows(section(read(DOCUMENT), "Limits"), "what") if len(row) == 4])
def test_a_limit_that_a_flag_sets_names_one_that_there_is(row: list[str]) -> None:
    assert row[2] in {"", *(flag_of(name) for name in ServerSettings.model_fields)}


def _options(command: click.Command) -> Iterable[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def _told(cell: str) -> tuple[float, str]:
    match = re.match(r"([\d.]+) ?(\w*)", cell)
    assert match, cell
    return float(match[1]) * (_SIZES | _SECONDS).get(match[2], 1), match[2]


def _value_of(path: str, unit: str) -> float:
    if " of " in path:
        return _queue_argument(*path.split(" of "))
    module, names = _module_of(path)
    value = float(reduce(_attribute, names, module))
    if "MILLISECONDS" in names[-1]:
        return value / 1000
    # A time whose name has no unit is a span, which counts microseconds.
    return value / 1_000_000 if unit in _SECONDS and "SECONDS" not in names[-1] else value


def _module_of(path: str) -> tuple[Any, list[str]]:
    parts = path.split(".")
    count = next(index for index, part in enumerate(parts) if part != part.lower() or part.startswith("_"))
    return import_module(".".join(parts[:count])), parts[count:]


def _attribute(owner: Any, name: str) -> Any:
    fields = getattr(owner, "__dataclass_fields__", {})
    return fields[name].default if name in fields else getattr_static(owner, name)


def _queue_argument(argument: str, path: str) -> float:
    name = path.rpartition(".")[2]
    queue = getattr(Topology(), name)
    return float((queue(_NAMES[name]) if name in _NAMES else queue).arguments[argument])


_NAMES: dict[str, Any] = {"work": Kind("reports", "reports.generate"), "worker": "1", "changes_of": "1"}
