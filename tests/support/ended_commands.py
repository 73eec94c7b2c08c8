"""Commands that are expected to end by themselves, and what they said."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        told: The command's own lines on stderr, without its name and without the lines of its log.
    """

    code: int
    output: str
    told: list[str]


def run_command(name: str, *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Run an installed command in a folder until it ends, with none of the test run's REJOINDER_* variables."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("REJOINDER_")}
    done = subprocess.run(
        [Path(sys.executable).parent / name, *arguments],
        cwd=cwd,
        env=variables | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    own = [line.removeprefix(f"{name}: ") for line in done.stderr.splitlines() if line.startswith(f"{name}: ")]
    return Ended(done.returncode, done.stdout + done.stderr, own)
