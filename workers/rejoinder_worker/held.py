"""What a worker process holds: the attempts of which it owes the servers the end."""

from collections import OrderedDict
from collections.abc import Iterator

from rejoinder_worker.attempt import Attempt, FenceKey

_REMEMBERED = 10_000


class Held:
    """Attempts from their grant until their end is confirmed or they are fenced, and the fences seen lately."""

    def __init__(self) -> None:
        self._attempts: dict[FenceKey, Attempt] = {}
        self._seen: OrderedDict[FenceKey, None] = OrderedDict()

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._attempts.values()))

    def __len__(self) -> int:
        return len(self._attempts)

    def add(self, attempt: Attempt) -> bool:
        """Hold an attempt; False when its fence was seen before, so that each fence is started at most once."""
        if attempt.key in self._seen:
            return False
        self._seen[attempt.key] = None
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._attempts[attempt.key] = attempt
        return True

    def get(self, key: FenceKey) -> Attempt | None:
        """Find an attempt."""
        return self._attempts.get(key)

    def let_go(self, attempt: Attempt) -> None:
        """Hold it no longer; harmless when it is not held."""
        self._attempts.pop(attempt.key, None)
