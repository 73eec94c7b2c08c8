"""The README's first steps are as it shows them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import blocks, read, section
from tests.support.processes import Server

README = "README.md"
BEFORE_THE_HANDLER = read(README).partition("\n## ")[0]

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_ID = re.compile(r"\b[0-9a-f]{32}\b")


@pytest.fixture(scope="module")
def reports_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the README's handler, started in the handler's folder as the README does."""
    folder = tmp_path_factory.mktemp("readme")
    [handler] = [block.text for block in blocks(section(read(README), "A handler")) if block.language == "python"]
    (folder / "reports.py").write_text(handler)
    with Server("--handlers", "reports", log=folder / "server.log", cwd=folder) as server:
        yield server


def test_the_first_submit_is_answered_as_shown(echo_server: Server) -> None:
    [step] = [step for step in _steps(BEFORE_THE_HANDLER) if "rejoinder.echo" in step[0]]

    _follow([step], server=echo_server)


def test_submit_watch_and_cancel_are_answered_as_shown(reports_server: Server) -> None:
    steps = _steps(section(read(README), "Submit, watch, result"))

    assert 5 == len(steps)
    _follow(steps, server=reports_server)


def test_the_sdk_prints_what_is_shown(reports_server: Server, tmp_path: Path) -> None:
    program, printed = (block.text for block in blocks(section(read(README), "The SDK")))
    file = tmp_path / "program.py"
    file.write_text(program.replace("localhost:50051", reports_server.address))
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True, timeout=60)

    assert _ends(printed) == _ends(done.stdout)
    assert "progress RUNNING Progress(completed=" in done.stdout


def _steps(text: str) -> list[tuple[str, str]]:
    """Return the commands of the console blocks with what each is said to print."""
    found = []
    for block in blocks(text):
        if block.language == "console":
            for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, expected = step.partition("\n")
                found.append((command, expected))
    return found


def _follow(steps: list[tuple[str, str]], *, server: Server) -> None:
    here = Path(sys.executable).parent
    environment = os.environ | {"REJOINDER_SERVER": server.address, "PATH": f"{here}:{os.environ['PATH']}"}
    for command, expected in steps:
        done = subprocess.run(
            command, shell=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=60, check=False
        )
        printed = done.stdout
        if command.startswith("rejoinder submit") and "--watch" in command:
            # The watch begins with the operation as it is by then.
            expected, printed = ("\n".join(text.splitlines()[-2:]) for text in (expected, printed))
        assert _pattern(expected).fullmatch(_settled(printed)), f"{command}\nprinted:\n{done.stdout}"


def _settled(text: str) -> str:
    """Return a text without what differs from run to run; how much progress is shown does, too."""
    lines = [line for line in text.strip().splitlines() if "  PROGRESS  " not in line]
    return _ID.sub("ID", _MOMENT.sub("TIME", "\n".join(lines)))


def _pattern(expected: str) -> re.Pattern[str]:
    text = re.sub(r"^…$", r".*?", re.escape(_settled(expected)), flags=re.MULTILINE)
    return re.compile(text.replace("…", ".*?"), re.DOTALL)


def _ends(text: str) -> list[str]:
    """Return the lines whose place in time is certain."""
    return [line for line in _settled(text).splitlines() if not line.startswith(("progress ", "snapshot ", "ID "))]
