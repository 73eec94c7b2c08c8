"""The local broker's claims."""

import asyncio
from collections import deque

import structlog

from rejoinder.worker.v1.worker_pb2 import Claim
from rejoinder_broker.port import ServerHandlers

MOST_WAITING = 10_000
BATCH = 256
TTL_SECONDS = 5.0

log = structlog.get_logger(__name__)


class ClaimsQueue:
    """Claims that wait for an answer; the oldest make room, and the stale are dropped, since they are sent again."""

    def __init__(self, handlers: ServerHandlers) -> None:
        self._handlers = handlers
        self._waiting: deque[tuple[float, Claim]] = deque(maxlen=MOST_WAITING)
        self._something = asyncio.Event()
        self._has_ended = False

    def put(self, claim: Claim) -> None:
        """Add a claim."""
        self._waiting.append((asyncio.get_running_loop().time(), claim))
        self._something.set()

    async def run(self) -> None:
        """Have claims answered, one batch at a time, until ended."""
        while True:
            await self._something.wait()
            self._something.clear()
            while not self._has_ended and (batch := self._take()):
                await self._answer(batch)
            if self._has_ended:
                return

    def end(self) -> None:
        """Take no more claims; the batch under way goes on."""
        self._has_ended = True
        self._something.set()

    def _take(self) -> list[Claim]:
        stale_before = asyncio.get_running_loop().time() - TTL_SECONDS
        while self._waiting and self._waiting[0][0] < stale_before:
            self._waiting.popleft()
        return [self._waiting.popleft()[1] for _ in range(min(BATCH, len(self._waiting)))]

    async def _answer(self, batch: list[Claim]) -> None:
        try:
            await self._handlers.claims(batch)
        except Exception:  # the edge of a handler; the workers ask again
            log.exception("claims not answered", claims=len(batch))
