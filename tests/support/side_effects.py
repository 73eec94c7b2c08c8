"""What tests and the handlers of `tests.support.handlers` share through files: gates, and the log of side effects."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Start:
    """A handler began to work on an attempt, or was stopped in it."""

    operation_id: str
    attempt: int
    pid: int


class Effects:
    """The log of side effects of one test, and the gates that its handlers wait at.

    Args:
        folder: A folder of the test's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "effects"

    def request(self, gate: str = "gate", **fields: Any) -> dict[str, Any]:
        """Return a request for a handler that logs, and that waits at a gate if it is such a one."""
        return {"log": str(self._log), "gate": str(self._folder / gate)} | fields

    def json(self, gate: str = "gate", **fields: Any) -> str:
        """Return the same request as text."""
        return json.dumps(self.request(gate, **fields))

    def open(self, gate: str = "gate") -> None:
        """Let everything pass that waits at a gate."""
        (self._folder / gate).touch()

    def starts(self) -> list[Start]:
        """Return the starts of handlers, in order."""
        return self._noted("start")

    def stops(self) -> list[Start]:
        """Return which handlers of `test.hold` were told to stop, in order."""
        return self._noted("stopped")

    def started(self) -> list[str]:
        """Return the operations whose handlers have started, in order."""
        return [start.operation_id for start in self.starts()]

    def _noted(self, wanted: str) -> list[Start]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        fields = [line.split() for line in lines]
        return [Start(name, int(attempt), int(pid)) for name, attempt, pid, what in fields if what == wanted]
