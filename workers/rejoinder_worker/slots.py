"""Counts the places in which a worker process runs attempts."""

from rejoinder_worker.attempt import Attempt


class Slots:
    """The slots of a process: one per thread.

    `running` and `reserved` together never exceed `total`.

    Args:
        total: Number of threads.

    Attributes:
        running: Attempts that take a slot, zombies included.
        reserved: Slots set aside for the answers of claims under way.
    """

    __slots__ = ("reserved", "running", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self.running: set[Attempt] = set()
        self.reserved = 0

    @property
    def free(self) -> int:
        """Slots that a new claim may ask for."""
        return self.total - len(self.running) - self.reserved

    @property
    def is_full(self) -> bool:
        """Whether no slot can become free but by the end of a handler."""
        return len(self.running) >= self.total

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and no claim is under way."""
        return not self.running and not self.reserved

    @property
    def zombies(self) -> int:
        """Handlers that run on although their attempt is not current."""
        return sum(attempt.is_fenced for attempt in self.running)
