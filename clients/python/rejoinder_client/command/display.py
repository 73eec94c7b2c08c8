"""What goes to standard error while an operation runs: a live bar, or plain lines without a terminal."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TimeElapsedColumn
from rich.text import Text

from rejoinder_client.actions import Interruption
from rejoinder_client.command import exits
from rejoinder_client.command.output import clean, describe_progress, describe_state
from rejoinder_client.views import Operation, State

_LINE_SECONDS = 1.0

_STYLES = {
    State.ACCEPTED: "yellow",
    State.RUNNING: "cyan",
    State.SUCCEEDED: "green",
    State.FAILED: "red",
    State.CANCELLED: "magenta",
    State.TIMED_OUT: "red",
}


class Display(Protocol):
    """Shows people how an operation comes along."""

    shares_screen: bool
    """It moves on the terminal that standard output goes to, so lines must go through `line`."""

    def line(self, text: str) -> None:
        """Print a line of data on standard output."""

    def update(self, operation: Operation) -> None:
        """Show the operation as it is now."""

    def interrupted(self, interruption: Interruption) -> None:
        """Show that the connection is lost for now."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""


def make_display(*, tells: bool, server: str) -> Display:
    """Return a live bar if standard error is a terminal, else plain lines.

    Args:
        tells: Print changes as lines, because standard output does not.
        server: What people typed as the server's address.
    """
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return Bar(console, tells=tells, server=server)
    return Lines(time.monotonic, tells=tells, server=server)


class Lines:
    """One line for each change of state, and at most one a second for progress."""

    def __init__(self, clock: Callable[[], float], *, tells: bool, server: str) -> None:
        self.shares_screen = False
        self._clock = clock
        self._tells = tells
        self._server = server
        self._state = ""
        self._cause = ""
        self._progress = ""
        self._progress_at = float("-inf")

    def line(self, text: str) -> None:
        """Print a line of data."""
        click.echo(text)

    def update(self, operation: Operation) -> None:
        """Print what is new."""
        self._cause = ""
        if not self._tells:
            return
        state = describe_state(operation)
        if state != self._state:
            self._state = state
            self._print(f"{operation.operation_id}  {state}  {operation.waiting_detail}")
        progress = describe_progress(operation.progress)
        now = self._clock()
        if progress not in ("", self._progress) and now - self._progress_at >= _LINE_SECONDS:
            self._progress, self._progress_at = progress, now
            self._print(f"{operation.operation_id}  {progress}")

    def interrupted(self, interruption: Interruption) -> None:
        """Print why the connection is lost, once for each cause."""
        cause = exits.describe(interruption.cause, self._server)
        if cause != self._cause:
            self._cause = cause
            self._print(f"connection lost, resuming: {cause}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def _print(self, line: str) -> None:
        click.echo(clean(line).rstrip(), err=True)


class _DetailColumn(ProgressColumn):
    """Percentage, count and unit, then the message, cut at the terminal's edge."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["detail"], overflow="ellipsis", no_wrap=True)


class _StateColumn(ProgressColumn):
    """The state in its colour."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["label"], style=task.fields["style"], no_wrap=True)


class Bar:
    """A live bar; changes of state stay above it as lines."""

    def __init__(self, console: Console, *, tells: bool, server: str) -> None:
        self.shares_screen = sys.stdout.isatty()
        self._console = console
        self._tells = tells
        self._server = server
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            _StateColumn(),
            BarColumn(bar_width=30),
            _DetailColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task: TaskID | None = None
        self._state = ""

    def line(self, text: str) -> None:
        """Print a line of data, above the bar if that is on the same screen."""
        if self.shares_screen:
            self._console.print(Text(text), soft_wrap=True)
        else:
            click.echo(text)

    def update(self, operation: Operation) -> None:
        """Move the bar, and print a change of state above it."""
        state = describe_state(operation)
        style = _STYLES.get(operation.state, "")
        if state != self._state and self._tells:
            self._console.print(Text.assemble((f"{state:<12}", style), "  ", clean(operation.waiting_detail)))
        self._state = state
        progress = operation.progress
        known = progress is not None and progress.total > 0
        self._set(
            label=state,
            style=style,
            detail=clean(describe_progress(progress) or operation.waiting_detail),
            total=progress.total if progress and known else None,
            completed=progress.completed if progress and known else 0,
        )

    def interrupted(self, interruption: Interruption) -> None:
        """Say under the bar that the connection is lost."""
        cause = clean(exits.describe(interruption.cause, self._server))
        self._set(label="RECONNECTING", style="yellow", detail=cause, total=None, completed=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def _set(self, *, label: str, style: str, detail: str, total: int | None, completed: int) -> None:
        if self._task is None:
            self._task = self._progress.add_task("", total=None, label="", style="", detail="")
        self._progress.update(
            self._task, label=label, style=style, detail=detail, total=total, completed=completed, refresh=True
        )
