"""What a worker process holds: the attempts of which it owes the servers the end."""

from collections import OrderedDict
from collections.abc import Iterator

from rejoinder_worker.attempt import Attempt, FenceKey, Stop

_REMEMBERED = 10_000
_REMEMBERED_STOPS = 1_000


class Held:
    """Attempts from their grant until their end is confirmed or they are fenced, and the fences seen lately.

    Also the stops that came before their grants: those of another server travel on their own and may be faster.
    """

    def __init__(self) -> None:
        self._attempts: dict[FenceKey, Attempt] = {}
        self._seen: OrderedDict[FenceKey, None] = OrderedDict()
        self._stopped: OrderedDict[FenceKey, Stop] = OrderedDict()

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

    def note_early_stop(self, key: FenceKey, reason: Stop) -> None:
        """Remember a stop whose grant may still come; nothing happens when it came before."""
        if key in self._seen:
            return
        self._stopped[key] = max(reason, self._stopped.pop(key, reason))
        while len(self._stopped) > _REMEMBERED_STOPS:
            self._stopped.popitem(last=False)

    def take_early_stop(self, key: FenceKey) -> Stop | None:
        """Return, once, why an attempt was to stop before it came."""
        return self._stopped.pop(key, None)

    def get(self, key: FenceKey) -> Attempt | None:
        """Find an attempt."""
        return self._attempts.get(key)

    def let_go(self, attempt: Attempt) -> None:
        """Hold it no longer; harmless when it is not held."""
        self._attempts.pop(attempt.key, None)
