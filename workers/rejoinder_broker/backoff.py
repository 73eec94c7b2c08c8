"""Pauses between tries."""

import random
from collections.abc import Callable


class Backoff:
    """Pauses that grow while tries fail, with full jitter, so that many processes do not come back at once.

    Attributes:
        first_seconds: Longest first pause.
        most_seconds: Longest pause of all.
    """

    def __init__(
        self,
        *,
        first_seconds: float = 0.1,
        most_seconds: float = 5.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.first_seconds = first_seconds
        self.most_seconds = most_seconds
        self._uniform = uniform
        self._ceiling = first_seconds

    def next_seconds(self) -> float:
        """Draw the pause before the next try."""
        pause = self._uniform(0, self._ceiling)
        self._ceiling = min(2 * self._ceiling, self.most_seconds)
        return pause

    def reset(self) -> None:
        """Begin again with short pauses."""
        self._ceiling = self.first_seconds
