"""Counts the files, lines and bytes below some folders by kind: work that takes a while and can tell how far it is."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from rejoinder_worker import Context, PermanentError, handler

NO_KIND = "(none)"
OTHER_KINDS = "(other)"


@dataclass(frozen=True, slots=True)
class CountRequest:
    """What to count.

    Attributes:
        paths: Folders, each of which is counted with everything below it. Symbolic links are not followed.
        leave_out: Folders that are passed over with everything below them.
        most_kinds: Kinds that the result lists, those with the most bytes; the others are added up.
    """

    paths: list[str]
    leave_out: list[str] = field(default_factory=list)
    most_kinds: int = 100

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense.

        Raises:
            ValueError: A value is out of its limits.
        """
        if not 1 <= self.most_kinds <= 1000:
            raise ValueError(f"most_kinds must be from 1 to 1000, not {self.most_kinds}")


@dataclass(slots=True)
class KindCount:
    """The files of one kind; a kind is the end of a name from its last dot, in lower case."""

    kind: str
    files: int = 0
    lines: int = 0
    bytes: int = 0

    def add(self, *, files: int, lines: int, size: int) -> None:
        """Add what was counted elsewhere."""
        self.files += files
        self.lines += lines
        self.bytes += size


@dataclass(frozen=True, slots=True)
class CountResult:
    """What was counted.

    Attributes:
        files: Files in all, without those that could not be read.
        lines: Line ends in all.
        bytes: Bytes in all.
        kinds: The same by kind, most bytes first.
        unreadable: Files that could not be read.
    """

    files: int
    lines: int
    bytes: int
    kinds: list[KindCount]
    unreadable: int


@handler("tree.count", queue="examples", attempt_timeout=timedelta(minutes=10), max_attempts=2)
def count_tree(context: Context, request: CountRequest) -> CountResult:
    """Counts the files, lines and bytes below some folders by kind."""
    left_out = {Path(path) for path in request.leave_out}
    files = [file for path in request.paths for file in _files_below(_folder(path), left_out, context)]
    kinds: defaultdict[str, KindCount] = defaultdict(lambda: KindCount(""))
    unreadable = 0
    for index, file in enumerate(files):
        context.raise_if_cancelled()
        context.progress(index, total=len(files), unit="files", message=printable(str(file.parent))[-200:])
        try:
            lines, size = _measure(file)
        except OSError as error:
            context.logger.warning("file not readable", path=str(file), error=error.strerror)
            unreadable += 1
        else:
            kinds[_kind_of(file)].add(files=1, lines=lines, size=size)
    context.progress(len(files), total=len(files), unit="files", message="adding up")
    return _result(kinds, most_kinds=request.most_kinds, unreadable=unreadable)


def printable(text: str) -> str:
    """Replace what neither progress nor JSON may hold: file names are bytes, and any byte may be in them."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _folder(path: str) -> Path:
    folder = Path(path)
    if not folder.is_absolute():
        raise PermanentError(f"{path!r} is relative, and the worker runs elsewhere; give a whole path", "RELATIVE_PATH")
    if not folder.is_dir():
        raise PermanentError(f"{path!r} is no folder on the worker's machine", "NO_SUCH_FOLDER")
    return folder


def _files_below(folder: Path, left_out: set[Path], context: Context) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        context.raise_if_cancelled()
        folders[:] = [name for name in folders if Path(parent, name) not in left_out]
        for name in names:
            file = Path(parent, name)
            if file.is_file() and not file.is_symlink():
                yield file


def _measure(file: Path) -> tuple[int, int]:
    lines = size = 0
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            lines += block.count(b"\n")
            size += len(block)
    return lines, size


def _kind_of(file: Path) -> str:
    return printable(file.suffix.lower()) or NO_KIND


def _result(kinds: dict[str, KindCount], *, most_kinds: int, unreadable: int) -> CountResult:
    for kind, count in kinds.items():
        count.kind = kind
    by_size = sorted(kinds.values(), key=lambda count: (-count.bytes, count.kind))
    listed, others = by_size[:most_kinds], by_size[most_kinds:]
    if others:
        listed.append(_sum(OTHER_KINDS, others))
    total = _sum("", by_size)
    return CountResult(total.files, total.lines, total.bytes, listed, unreadable)


def _sum(kind: str, counts: list[KindCount]) -> KindCount:
    total = KindCount(kind)
    for count in counts:
        total.add(files=count.files, lines=count.lines, size=count.bytes)
    return total
