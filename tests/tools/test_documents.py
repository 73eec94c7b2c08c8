"""What the documents point at is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rejoinder_broker.port import Kind
from rejoinder_broker.rabbitmq.topology import Topology
from rejoinder_server.lifecycle import Edit
from rejoinder_server.operation import State
from tests.support.documents import ROOT, headings, read, rows, section

FOLDERS = {
    "worker": ["workers/rejoinder_worker"],
    "broker": ["workers/rejoinder_broker/rabbitmq", "workers/rejoinder_broker/local"],
    "store": ["server/rejoinder_server/store"],
}
ARCHITECTURE = "docs/architecture.md"

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def _documents() -> list[str]:
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize("name", _documents())
def test_every_relative_link_leads_somewhere(name: str) -> None:
    broken = [link for link in _relative_links(name) if not _leads_somewhere(name, link)]

    assert [] == broken


def test_the_readme_links_every_document() -> None:
    linked = {str((ROOT / link.partition("#")[0]).relative_to(ROOT)) for link in _relative_links("README.md")}
    documents = {str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")}

    assert documents <= linked


def test_the_architecture_names_modules_and_functions_that_there_are() -> None:
    named = sorted(set(_places()))

    assert len(named) > 40
    assert [] == [name for name in named if not _is_there(name)]


def test_the_architecture_draws_every_state() -> None:
    drawn = section(read(ARCHITECTURE), "States")
    terminal = set(re.findall(r"(\w+) --> \[\*\]", drawn))

    assert {state.name for state in State if state.is_terminal} == terminal
    assert {state.name for state in State} == set(re.findall(r"--> ([A-Z_]+):", drawn))


def test_the_architecture_s_verbs_are_those_of_the_state_machine() -> None:
    arrows = re.findall(r"-->.*?: (.*)", section(read(ARCHITECTURE), "States"))
    verbs = {word for arrow in arrows for word in re.findall(r"[a-z]+", arrow)}

    assert {"grant", "succeed", "fail", "release", "lose", "cancel"} <= verbs & set(vars(Edit))


def test_the_architecture_lists_the_tables_of_both_stores() -> None:
    told = {row[0] for row in rows(section(read(ARCHITECTURE), "The store's tables"), "table")}

    for store in ("postgres", "sqlite"):
        files = (ROOT / "server/rejoinder_server/store" / store / "migrations").glob("*.sql")
        tables = {table for file in files for table in re.findall(r"CREATE TABLE (\w+)", file.read_text())}
        assert tables == told, store


def test_the_architecture_lists_the_broker_s_layout() -> None:
    told = [
        name for row in rows(section(read(ARCHITECTURE), "The broker's layout"), "name") for name in row[0].split(", ")
    ]

    layout = Topology()
    [events] = layout.events((3, 10))
    names = [
        layout.work(Kind("<queue>", "<type>")).name,
        layout.claims.name,
        layout.worker("<connection id>").name,
        events.name,
        layout.changes,
        layout.changes_of("<server id>").name,
        layout.dead.name,
    ]
    assert names == told


def _relative_links(name: str) -> list[str]:
    # Links in code are code.
    return [link for link in _LINK.findall(_CODE.sub("code", read(name))) if "://" not in link]


def _leads_somewhere(name: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (ROOT / name).parent / path if path else ROOT / name
    if not target.exists():
        return False
    return not anchor or anchor in map(_anchor, headings(target.read_text(encoding="utf-8")))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _places() -> Iterator[str]:
    for row in rows(read(ARCHITECTURE), "step"):
        for part in re.split(r", | of | and |\(|\)", row[1]):
            if re.fullmatch(r"[a-z_/….]+(\._?\w+)*", part.strip()):
                yield part.strip()


def _is_there(name: str) -> bool:
    path, _, attribute = name.partition(".")
    return any(
        file.is_file() and (not attribute or f" {attribute.rpartition('.')[2]}(" in file.read_text())
        for file in _files(path)
    )


def _files(path: str) -> Iterator[Path]:
    folder, _, module = path.rpartition("/")
    root, *_ = folder.split("/")
    for base in FOLDERS.get(root, ["server/rejoinder_server"]):
        if root == "store" and "…" in folder:
            yield from (ROOT / base).glob(f"*/{module}.py")
        else:
            yield ROOT / base / f"{module}.py"
