"""What tests read in the documents: tables and fenced blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language and its text."""

    language: str
    text: str


def read(name: str) -> str:
    """Return the text of a document, named from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks in order."""
    return [Block(*found) for found in _FENCE.findall(text)]


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    found = [match for match in _HEADING.finditer(_FENCE.sub(_blanked, text)) if match[2] == heading]
    assert 1 == len(found), f"{len(found)} headings {heading!r}"
    [begin] = found
    level = len(begin[1])
    for match in _HEADING.finditer(_FENCE.sub(_blanked, text), begin.end()):
        if len(match[1]) <= level:
            return text[begin.end() : match.start()]
    return text[begin.end() :]


def headings(text: str) -> list[str]:
    """Return all headings."""
    return [match[2] for match in _HEADING.finditer(_FENCE.sub(_blanked, text))]


def rows(text: str, first: str) -> Iterator[list[str]]:
    """Return the rows of all tables whose first column has this title; code marks are taken off.

    Args:
        text: The document, or a section.
        first: Title of the first column.
    """
    is_wanted = False
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if not line.startswith("|"):
            is_wanted = False
        elif index + 1 < len(lines) and set(lines[index + 1]) <= set("|- :") and lines[index + 1].startswith("|"):
            is_wanted = _cells(line)[0] == first
        elif is_wanted and not set(line) <= set("|- :"):
            yield [cell.replace("`", "") for cell in _cells(line)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _blanked(match: re.Match[str]) -> str:
    # As long as before, so that places stay what they are.
    return re.sub(r"[^\n]", " ", match[0])
