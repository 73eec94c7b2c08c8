"""Handlers that tell what surrounds them."""

import os
import sys
from pathlib import Path
from typing import Any

from rejoinder_worker import Context, handler


@handler("telling.surroundings", queue="telling")
def surroundings(context: Context, request: Any) -> dict[str, list[str]]:
    """Name the modules and the libraries that the process has loaded, and the variables that it sees."""
    libraries = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    return {
        "modules": sorted(sys.modules),
        "libraries": sorted(libraries),
        "variables": [f"{name}={value}" for name, value in sorted(os.environ.items())],
        "arguments": Path("/proc/self/cmdline").read_text().split("\0"),
        "parents_arguments": Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0"),
    }
