"""The example handlers do real work, and what they answer is right."""

import csv
import os
import shutil
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from rejoinder_client import Client, Update, UpdateKind
from tests.support.documents import ROOT
from tests.support.processes import Server

ORDERS = ROOT / "examples" / "data" / "orders.csv"


@dataclass(frozen=True, slots=True)
class Counted:
    """Files, lines and bytes by kind."""

    files: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of an embedded server with the example handlers."""
    folder = tmp_path_factory.mktemp("examples")
    handlers = ["--handlers=examples.tree", "--handlers=examples.orders"]
    store = f"--store=sqlite:///{folder}/rejoinder.db"
    with Server(store, *handlers, log=folder / "server.log") as server, Client(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder with whatever file systems hold, and Python's standard library as nobody else writes into it."""
    odd = tmp_path_factory.mktemp("odd")
    (odd / "empty").mkdir()
    (odd / "no end.txt").write_text("one\ntwo")
    (odd / "UPPER.TXT").write_text("one\n")
    (odd / "Makefile").write_text("all:\n")
    (odd / "data.bin").write_bytes(bytes(range(256)) * 10_000)
    (odd / "nothing.py").touch()
    (odd / "link.py").symlink_to(odd / "UPPER.TXT")
    Path(os.fsdecode(os.fsencode(odd) + b"/not\xffutf8.txt")).write_text("one\n")

    library = tmp_path_factory.mktemp("library") / "python"
    leave_out = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=leave_out)
    # Counted as often as it is named, so that even a fast machine takes a while.
    return [str(odd), *[str(library)] * 4]


@pytest.fixture(scope="module")
def updates(client: Client, tree: list[str]) -> list[Update]:
    """The updates of one count, from its first to its last."""
    handle = client.submit("tree.count", {"paths": tree, "most_kinds": 1000}, delay=timedelta(milliseconds=200))
    return list(handle.watch(timeout=60))


def test_the_count_is_what_an_independent_count_finds(updates: list[Update], tree: list[str]) -> None:
    operation = updates[-1].operation
    assert operation is not None
    result = operation.result.to_dict()["json"] if operation.result else {}

    counted = _count(tree)
    totals = [sum(kinds.values()) for kinds in (counted.files, counted.lines, counted.bytes)]
    assert [*totals, 0] == [result["files"], result["lines"], result["bytes"], result["unreadable"]]
    by_kind = {kind: (counted.files[kind], counted.lines[kind], counted.bytes[kind]) for kind in counted.files}
    assert by_kind == {row["kind"]: (row["files"], row["lines"], row["bytes"]) for row in result["kinds"]}


def test_at_least_three_distinct_progress_values_arrive_before_the_end(updates: list[Update]) -> None:
    progress = [update.progress.completed for update in updates if update.progress is not None]

    assert len(set(progress)) >= 3
    assert sorted(progress) == progress
    assert UpdateKind.TRANSITION is updates[-1].kind


def test_the_progress_names_the_number_of_files(updates: list[Update], tree: list[str]) -> None:
    totals = {(update.progress.total, update.progress.unit) for update in updates if update.progress is not None}

    assert {(sum(_count(tree).files.values()), "files")} == totals


def test_the_import_writes_a_report_that_says_what_was_imported(client: Client, tmp_path: Path) -> None:
    handle = client.submit("orders.import", {"path": str(ORDERS), "report_path": str(tmp_path / "report.md")})
    result = handle.result(timeout=30)

    with ORDERS.open(newline="") as content:
        rows = len(list(csv.reader(content))) - 1
    assert (rows, rows, 6) == (result["rows"], result["accepted"] + result["rejected"], result["rejected"])
    report = Path(result["report_path"]).read_text()
    assert f"{rows - 6} of {rows} rows accepted, 6 rejected." in report
    assert all(f"{currency}: {total}" in report for currency, total in result["totals"].items())
    assert 6 == sum(line.startswith("| ") and line[2].isdigit() for line in report.splitlines())


def _count(folders: list[str]) -> Counted:
    counted = Counted()
    for file in (file for folder in folders for file in Path(folder).rglob("*")):
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        stem, dot, end = file.name.rpartition(".")
        kind = f".{end.lower()}" if dot and stem and end else "(none)"
        counted.files[kind] += 1
        counted.lines[kind] += content.count(b"\n")
        counted.bytes[kind] += len(content)
    return counted
