"""Wakes those who wait for an operation to change."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rejoinder_server.operation import Key


class Hub:
    """Level-triggered wake-ups: a flag per waiter and no queue; whoever wakes reads the store."""

    def __init__(self) -> None:
        self._waiters: dict[Key, set[asyncio.Event]] = {}
        self.is_draining = False

    def __len__(self) -> int:
        """Count those who wait."""
        return sum(len(waiters) for waiters in self._waiters.values())

    @contextmanager
    def subscribe(self, key: Key) -> Iterator[asyncio.Event]:
        """Give a flag that is set whenever the operation may have changed; read the store after subscribing."""
        flag = asyncio.Event()
        self._waiters.setdefault(key, set()).add(flag)
        try:
            yield flag
        finally:
            waiters = self._waiters[key]
            waiters.discard(flag)
            if not waiters:
                del self._waiters[key]

    def wake(self, key: Key) -> None:
        """Set the flags of one operation."""
        for flag in self._waiters.get(key, ()):
            flag.set()

    def wake_all(self) -> None:
        """Set all flags."""
        for waiters in self._waiters.values():
            for flag in waiters:
                flag.set()

    def drain(self) -> None:
        """Tell all who wait, now and from now on, that the server is about to end."""
        self.is_draining = True
        self.wake_all()


async def wait(flag: asyncio.Event, seconds: float) -> bool:
    """Wait until the flag is set, at most that long; return whether it was."""
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await flag.wait()
    except TimeoutError:
        return False
    return True
