"""What the demonstration prints."""

import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_console = Console(highlight=False, soft_wrap=True)


def title(name: str, text: str) -> None:
    """Print what is shown."""
    _console.print(f"[bold]{escape(name)}[/]: {escape(text)}")


def say(text: str) -> None:
    """Print what is done next."""
    _console.print(f"\n[bold cyan]▸[/] {escape(text)}")


def show(command: str) -> None:
    """Print a command as one would type it."""
    _console.print(f"  [dim]$ {escape(command)}[/]")


def tell(text: str) -> None:
    """Print what came of it."""
    _console.print(f"  {escape(text)}")


def checked(text: str) -> None:
    """Print what was found to be right."""
    _console.print(f"  [green]checked:[/] {escape(text)}")


def done(text: str) -> None:
    """Print that all went well."""
    _console.print(f"\n[green]Done[/] {escape(text)}")


def failed(text: str) -> None:
    """Print what went wrong."""
    _console.print(f"\n[red]The demonstration failed:[/] {escape(text)}")


def print_kinds(result: dict[str, Any], *, most: int) -> None:
    """Print the largest kinds and the sum of all as a table."""
    table = Table("kind", "files", "lines", "bytes", box=None, header_style="bold", padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in [*result["kinds"][:most], {**result, "kind": "all kinds"}]:
        table.add_row(escape(row["kind"]), *(f"{row[name]:,}" for name in ("files", "lines", "bytes")))
    _console.print(table)


class ProgressLines:
    """Counts progress values; prints one in each quarter where no progress bar can be drawn."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._quarters: set[int] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, progress: dict[str, Any]) -> None:
        """Take the next progress."""
        completed, total = progress["completed"], progress["total"]
        self._seen.add(completed)
        quarter = completed * 4 // total if total else 0
        # On a terminal the rejoinder command draws a bar on standard error.
        if quarter not in self._quarters and not sys.stderr.isatty():
            tell(f"{completed} of {total} {progress['unit']}")
        self._quarters.add(quarter)
