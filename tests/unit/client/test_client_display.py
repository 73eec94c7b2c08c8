import io
from datetime import timedelta

import pytest
from rich.console import Console

from rejoinder_client import Interruption, Operation, Progress, State, Unavailable, WaitingReason
from rejoinder_client.command.display import Bar, Lines

LOST = Interruption(Unavailable("Busy (STORE_UNAVAILABLE)", reason="STORE_UNAVAILABLE"), timedelta(seconds=1))


def running(completed: int, *, total: int = 10, message: str = "reading") -> Operation:
    progress = Progress(completed=completed, total=total, unit="pages", message=message)
    return Operation(operation_id="op", state=State.RUNNING, progress=progress)


def render(*steps: Operation | Interruption, tells: bool = True) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system=None, width=120)
    with Bar(console, tells=tells, server="here:1") as bar:
        for step in steps:
            if isinstance(step, Operation):
                bar.update(step)
            else:
                bar.interrupted(step)
    return screen.getvalue()


def test_the_bar_shows_percentage_count_unit_and_message() -> None:
    assert "50% 5/10 pages: reading" in render(running(5))


def test_the_bar_takes_a_message_literally() -> None:
    assert "[red]lib[/red]" in render(running(5, message="[red]lib[/red]"))


def test_the_bar_shows_a_count_when_the_total_is_unknown() -> None:
    assert "7 pages: reading" in render(running(7, total=0))


def test_the_bar_shows_why_an_operation_waits() -> None:
    waiting = Operation(
        operation_id="op", state=State.ACCEPTED, waiting_reason=WaitingReason.NO_WORKER, waiting_detail="no live worker"
    )
    assert "ACCEPTED (NO_WORKER)" in render(waiting)
    assert "no live worker" in render(waiting)


def test_the_bar_says_that_it_reconnects() -> None:
    screen = render(running(5), LOST)
    assert "RECONNECTING" in screen
    assert "Busy (STORE_UNAVAILABLE)" in screen


def test_lines_tell_progress_at_most_once_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = Lines(lambda: now, tells=True, server="here:1")
    for completed in (1, 2, 3):
        lines.update(running(completed))
    now = 1.0
    lines.update(running(4))
    assert (capsys.readouterr().err.splitlines()) == [
        "op  RUNNING",
        "op  10% 1/10 pages: reading",
        "op  40% 4/10 pages: reading",
    ]


def test_lines_tell_nothing_that_standard_output_tells_already(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(lambda: 0.0, tells=False, server="here:1")
    lines.update(running(1))
    assert "" == capsys.readouterr().err
