"""How a session is kept, whatever becomes of the last one."""

import asyncio

from rejoinder_broker.backoff import Backoff
from rejoinder_broker.reconnecting import Reconnector
from tests.support.waiting import eventually


class FailingSession:
    """A session that cannot be closed."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def begin(self) -> None: ...

    async def close(self) -> None:
        raise ValueError("a bug")


async def test_a_session_follows_whatever_the_last_one_or_its_opening_raised() -> None:
    sessions: list[FailingSession] = []
    outages: list[str] = []
    tries = 0

    async def open_session() -> FailingSession:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise ValueError("a bug")
        sessions.append(FailingSession())
        return sessions[-1]

    kept = Reconnector(
        open_session,
        connected=lambda _: None,
        disconnected=outages.append,
        backoff=Backoff(uniform=lambda least, most: least),
    )
    await kept.start()
    sessions[0].lost.set_result("gone")
    await eventually(lambda: len(sessions) == 2)
    await kept.stop()
    assert (["gone"], 3) == (outages, tries)
