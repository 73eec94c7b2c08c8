"""What `grpc.health.v1` answers: each part tells its own truth."""

import asyncio

from grpc_health.v1 import health, health_pb2

SERVER = ""
STORE = "rejoinder.store"
DISPATCH = "rejoinder.dispatch"


class Health:
    """The health service's answers.

    The whole server is NOT_SERVING only while it drains: without its store or broker it still answers what it can, and
    taking it out of rotation would help nobody.
    """

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()
        self._telling: set[asyncio.Task[None]] = set()

    def set(self, part: str, *, is_serving: bool) -> None:
        """Set what one part answers, and tell those who watch it."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        task = asyncio.create_task(self.servicer.set(part, status))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Wait until all are told."""
        if self._telling:
            await asyncio.wait(self._telling)
