"""How an embedded server keeps its worker running."""

import asyncio

import pytest

from rejoinder_server import embedded
from rejoinder_server.embedded import EmbeddedWorker, WorkerRefused


async def test_a_worker_that_cannot_be_started_now_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[None] = []

    async def spawn(*command: str, **options: object) -> object:
        tries.append(None)
        if len(tries) < 3:
            raise BlockingIOError("no process to spare")
        return Refused()

    monkeypatch.setattr(embedded, "RESTART_SECONDS", 0)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
    worker = EmbeddedWorker(broker_url="local:///nowhere", handlers=[], arguments=[])
    with pytest.raises(WorkerRefused):
        await worker.run()
    assert 3 == len(tries)


class Refused:
    """A child that says that it can never run like this."""

    async def wait(self) -> int:
        return 2
