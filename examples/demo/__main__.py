"""The demonstration behind scripts/demo: has real work done, and checks the results by other means."""

import json
import shlex
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from examples.demo import telling
from examples.demo.programs import ProgramEnded, environment, executable
from examples.demo.stages import ROOT, Stage, distributed, embedded
from examples.demo.telling import ProgressLines, checked, say, show, tell
from rejoinder_client import RejoinderError

KINDS_SHOWN = 8
REPORT_LINES_SHOWN = 12
COUNTS = 3


class DemoFailed(Exception):
    """Something did not do what it should."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Folders to count, and the folders in them to leave out."""

    paths: tuple[str, ...]
    leave_out: tuple[str, ...]


@click.command()
@click.option("--distributed", "is_distributed", is_flag=True, help="Run on private PostgreSQL and RabbitMQ.")
def main(is_distributed: bool) -> None:
    """Show Rejoinder at work on real input, check the results, and stop everything that was started."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    begin = time.monotonic()
    if is_distributed:
        telling.title("Rejoinder, distributed", "servers and workers share nothing but PostgreSQL and RabbitMQ")
    else:
        telling.title("Rejoinder, embedded", "no configuration, nothing else installed")
    try:
        with distributed() if is_distributed else embedded() as stage:
            count_tree(stage)
            import_orders(stage)
    except KeyboardInterrupt:
        tell("Interrupted; what was started is stopped.")
        sys.exit(130)
    except (DemoFailed, ProgramEnded, TimeoutError, RejoinderError) as error:
        telling.failed(str(error))
        sys.exit(1)
    telling.done(f"in {time.monotonic() - begin:.1f} s.")


def _interrupt(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - a signal handler's shape
    raise KeyboardInterrupt


def count_tree(stage: Stage) -> None:
    """Have the standard library and this environment counted, and count them by other means."""
    library = sysconfig.get_path("stdlib")
    # What is installed beside the library is not the library, and may be large.
    packages = (f"{library}/site-packages", f"{library}/dist-packages")
    tree = Tree((library, sys.prefix), tuple(path for path in packages if Path(path).is_dir()))
    say("Counting the files of Python's standard library and of .venv by kind:")
    for attempt in range(1, COUNTS + 1):
        result = _run(stage, "tree.count", {"paths": tree.paths, "leave_out": tree.leave_out})
        if attempt == 1:
            telling.print_kinds(result, most=KINDS_SHOWN)
        expected, found = _count_by_other_means(tree), (result["files"], result["lines"], result["bytes"])
        if found == expected:
            checked("find and wc count as many files, lines and bytes")
            return
        # Another program of this machine may write a file there between the two counts.
        tell(f"find and wc count {expected}, the operation {found}; counting again")
    raise DemoFailed("the operation's count and that of find and wc differ")


def import_orders(stage: Stage) -> None:
    """Have a CSV file imported, and look into the report."""
    source = ROOT / "examples" / "data" / "orders.csv"
    say("Importing a CSV file of orders; the result is small and says where the report lies:")
    result = _run(stage, "orders.import", {"path": str(source), "report_path": str(stage.folder / "report.md")})
    report = Path(result["report_path"]).read_text(encoding="utf-8").splitlines()
    tell(f"{result['report_path']}:")
    for line in report[:REPORT_LINES_SHOWN]:
        tell(f"│ {line}")
    rows = len(source.read_text(encoding="utf-8").splitlines()) - 1
    if (result["rows"], result["accepted"] + result["rejected"]) != (rows, rows):
        raise DemoFailed(f"the file has {rows} rows, and the result is {result}")
    checked(f"the file has {rows} rows, {result['accepted']} accepted and {result['rejected']} rejected")


def _run(stage: Stage, type_name: str, request: dict[str, Any]) -> Any:
    """Submit an operation, follow it with live progress to its end, and return its result."""
    submit = ["submit", type_name, json.dumps(request), "--server", stage.submit_at]
    if stage.submit_at == stage.watch_at:
        return _follow(*submit, "--watch")
    # The delay gives the watch on the other server the time to be there from the start.
    submit += ["--delay", "1s"]
    show(shlex.join(["rejoinder", *submit]))
    return _follow("watch", _operation_id(*submit), "--server", stage.watch_at)


def _operation_id(*submit: str) -> str:
    command = [executable("rejoinder"), *submit, "-o", "json"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, env=environment(), check=False)  # noqa: S603 - our own
    if answer.returncode != 0:
        raise DemoFailed(f"`rejoinder submit` ended with {answer.returncode}")
    operation_id: str = json.loads(answer.stdout)["operation_id"]
    return operation_id


def _follow(*arguments: str) -> Any:
    """Run a `rejoinder` command that prints updates, and return the result of the operation."""
    show(shlex.join(["rejoinder", *arguments]))
    command = [executable("rejoinder"), *arguments, "-o", "json"]
    progress = ProgressLines()
    last: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:  # noqa: S603
        for line in process.stdout or ():
            last = json.loads(line)
            if last["kind"] == "progress":
                progress.add(last["progress"])
    operation = last.get("operation") or {}
    if process.returncode != 0 or operation.get("state") != "SUCCEEDED":
        raise DemoFailed(f"`rejoinder {arguments[0]}` ended with {process.returncode}: {operation.get('error')}")
    tell(f"SUCCEEDED in attempt {operation['attempt']}; progress values before the end: {len(progress)}")
    return operation["result"]["json"]


def _count_by_other_means(tree: Tree) -> tuple[int, int, int]:
    """Count files, lines and bytes with programs that share no code with the handler."""
    pruned = [argument for path in tree.leave_out for argument in ("-path", path, "-prune", "-o")]
    program = """find "$@" -type f -print0 | tr -dc '\\0' | wc -c; find "$@" -type f -print0 | xargs -0 cat | wc -lc"""
    command = ["sh", "-c", program, "count", *tree.paths, *pruned]
    counted = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this very machine
    files, lines, size = map(int, counted.stdout.split())
    return files, lines, size


if __name__ == "__main__":
    main()
