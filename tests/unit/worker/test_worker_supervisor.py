"""What the supervisor does when the machine does not let it."""

import asyncio
import errno
import random
from typing import Any

import pytest

from rejoinder_worker.child import Child
from rejoinder_worker.settings import WorkerSettings
from rejoinder_worker.supervisor import Supervisor
from tests.support.recording_broker import RecordingBroker
from tests.support.waiting import eventually


async def test_a_process_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[object] = []

    async def spawn(*arguments: Any, **options: Any) -> None:
        tries.append(arguments)
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(Child, "spawn", spawn)
    made = Supervisor(WorkerSettings(processes=1), modules=["m"], broker=RecordingBroker(), randomness=random.Random(1))
    running = asyncio.create_task(made.run())
    await eventually(lambda: len(tries) >= 2 or running.done())
    made.stop()
    assert 0 == await asyncio.wait_for(running, 10)
