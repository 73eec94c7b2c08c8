"""Keeps a number of worker processes alive, and reports those that die.

Each process is a fresh interpreter: nothing of the supervisor, no thread and no connection, is inherited. The
supervisor imports no handlers; its first process does, and the others start once that has worked, so that what is wrong
with the modules is said once.
"""

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import Sequence

import structlog

from rejoinder_broker.port import WorkerBroker
from rejoinder_worker.child import Child, describe
from rejoinder_worker.deaths import DeathReporter
from rejoinder_worker.process import EXIT_CLEAN, EXIT_REFUSED, EXIT_SETUP, EXIT_UNCLEAN, Orders
from rejoinder_worker.settings import WorkerSettings

PROCESS_COMMAND = (sys.executable, "-m", "rejoinder_worker.process")

# A process that dies younger than this makes the next one wait twice as long.
_YOUNG_SECONDS = 5.0
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 30.0
# What a process needs at most, beyond its grace, to release, confirm and leave.
_LEAVE_SECONDS = 20.0
_REPORT_SECONDS = 5.0

_logger = structlog.get_logger("rejoinder.worker")


class Supervisor:
    """Keeps worker processes alive; made and used on one event loop.

    Args:
        settings: What the processes are told.
        modules: Where their handlers are.
        broker: A connection for the supervisor's own reports; it is started and stopped here.
        randomness: Makes the names of processes and spreads their restarts.
        command: How a process is started.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        modules: Sequence[str],
        broker: WorkerBroker,
        randomness: random.Random,
        command: Sequence[str] = PROCESS_COMMAND,
    ) -> None:
        self._settings = settings
        self._modules = tuple(modules)
        self._deaths = DeathReporter(broker)
        self._random = randomness
        self._command = tuple(command)
        self._host = socket.gethostname()
        self._children: set[Child] = set()
        self._loaded = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_hurried = False
        self._status = 0

    async def run(self) -> int:
        """Run until told to stop.

        Returns:
            The exit status: 0, or 2 when the modules cannot be used, or 1 when the broker refused.

        Raises:
            BrokerRefused: Malformed URL, refused credentials.
        """
        await self._deaths.start()
        try:
            async with asyncio.TaskGroup() as places:
                for _ in range(self._settings.process_count):
                    places.create_task(self._keep_alive())
                    if not await self._first_has_loaded():
                        break
                places.create_task(self._kill_late())
        finally:
            for child in self._children:
                child.kill()
            await self._deaths.stop(_REPORT_SECONDS)
        return self._status

    def stop(self) -> None:
        """Let running handlers finish and end; when called again, do not wait for them."""
        if self._stopping.is_set():
            self.hurry()
        self._stopping.set()
        for child in self._children:
            child.stop()

    def hurry(self) -> None:
        """End without waiting for running handlers."""
        self._stopping.set()
        self._is_hurried = True
        for child in self._children:
            child.hurry()

    async def _first_has_loaded(self) -> bool:
        await _first_of(self._loaded, self._stopping)
        return not self._stopping.is_set()

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        wait = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            begun = loop.time()
            await self._run_one()
            wait = _FIRST_WAIT_SECONDS if loop.time() - begun > _YOUNG_SECONDS else wait
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait * self._random.uniform(0.5, 1)):
                    await self._stopping.wait()
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _run_one(self) -> None:
        try:
            child = await Child.spawn(self._command, orders=self._orders)
        except OSError as error:
            # Too many processes, too little memory: those that live must not end with this one.
            _logger.error("process not started", detail=str(error))  # noqa: TRY400 - the machine's state, not a bug
            return
        self._note_end(child, await self._follow(child))

    async def _follow(self, child: Child) -> int:
        self._children.add(child)
        if self._stopping.is_set():  # it was told while this one was being started
            (child.hurry if self._is_hurried else child.stop)()
        try:
            if await child.loaded():
                _logger.info("process started", worker=child.worker)
                self._loaded.set()
            return await child.wait()
        finally:
            self._children.discard(child)

    def _note_end(self, child: Child, status: int) -> None:
        if status == EXIT_CLEAN:
            return
        if status == EXIT_REFUSED or (status == EXIT_SETUP and not self._loaded.is_set()):
            # It has said why itself.
            self._status = 1 if status == EXIT_REFUSED else EXIT_SETUP
            self.stop()
            return
        detail = describe(status)
        if self._stopping.is_set() and status == EXIT_UNCLEAN:
            _logger.warning("process ended with handlers or reports unfinished", worker=child.worker)
        else:
            _logger.error("process died", worker=child.worker, detail=detail)
        self._deaths.report(child.worker, detail)

    async def _kill_late(self) -> None:
        await self._stopping.wait()
        grace = 0.0 if self._is_hurried else self._settings.grace.total_seconds()
        for _ in range(int((grace + _LEAVE_SECONDS) * 10)):
            if not self._children:
                return
            await asyncio.sleep(0.1)
        for child in self._children:
            _logger.error("process does not stop; killed", worker=child.worker)
            child.kill()

    def _orders(self, process_id: int) -> Orders:
        settings = self._settings
        return Orders(
            worker=f"{self._host}-{process_id}-{self._random.getrandbits(32):08x}",
            modules=self._modules,
            queues=settings.queues,
            broker=settings.broker,
            broker_prefix=settings.broker_prefix,
            threads=settings.threads,
            claim_interval=settings.claim_interval.total_seconds(),
            heartbeat_interval=settings.heartbeat_interval.total_seconds(),
            grace=settings.grace.total_seconds(),
            max_result_bytes=settings.max_result_bytes,
            log_format=settings.log_format,
        )


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
