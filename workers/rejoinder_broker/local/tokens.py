"""The local broker's tokens."""

from collections import OrderedDict
from collections.abc import Callable, Collection

from rejoinder_broker.port import Kind

MOST_PER_KIND = 128
MOST_KINDS = 10_000


class TokenPool:
    """Tokens that wait, and the connections that take some.

    Tokens of a kind are all the same, so a queue of them is a number. A connection that names a kind takes one token of
    it and no other until it names the kind again, which it does when it has spent or returned the first.
    """

    def __init__(self, deliver: Callable[[str, Kind], None]) -> None:
        self._deliver = deliver
        self._waiting: dict[Kind, int] = {}
        self._wanted: OrderedDict[str, set[Kind]] = OrderedDict()  # the connection that was served last is the last

    def add(self, kind: Kind) -> None:
        """Add a token, unless its queue is full."""
        waiting = self._waiting.get(kind, 0)
        if waiting < MOST_PER_KIND and (waiting or len(self._waiting) < MOST_KINDS):
            self._waiting[kind] = waiting + 1
            self._distribute(kind)

    def want(self, connection_id: str, kinds: Collection[Kind]) -> None:
        """Replace the kinds that a connection takes one token of."""
        self._wanted[connection_id] = set(kinds)
        for kind in kinds:
            self._distribute(kind)

    def forget(self, connection_id: str) -> None:
        """Give a connection no more tokens."""
        self._wanted.pop(connection_id, None)

    def _distribute(self, kind: Kind) -> None:
        while kind in self._waiting:
            taker = next((taker for taker, wanted in self._wanted.items() if kind in wanted), None)
            if taker is None:
                return
            self._take_one(kind)
            self._wanted[taker].discard(kind)
            self._wanted.move_to_end(taker)
            self._deliver(taker, kind)

    def _take_one(self, kind: Kind) -> None:
        if self._waiting[kind] == 1:
            del self._waiting[kind]
        else:
            self._waiting[kind] -= 1
