"""Reports the deaths of worker processes to the servers, over a connection of the supervisor's own."""

import asyncio

import structlog

from rejoinder.worker.v1.worker_pb2 import Event, ProcessDeath, WorkerMessage
from rejoinder_broker.port import HeldToken, WorkerBroker
from rejoinder_worker.reporter import Reporter

_logger = structlog.get_logger("rejoinder.worker")


class DeathReporter:
    """Sends each death until it is confirmed, so that servers need not wait for the leases to lapse.

    Args:
        broker: The supervisor's connection; it is started and stopped here.
    """

    def __init__(self, broker: WorkerBroker) -> None:
        self._broker = broker
        self._reporter = Reporter(broker, scheduler=asyncio.get_running_loop())
        self._is_out = False

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerRefused: Malformed URL, refused credentials.
        """
        await self._broker.start(self)

    async def stop(self, timeout: float) -> None:
        """Wait until what was reported is confirmed, at most `timeout` seconds, and disconnect."""
        if not await self._reporter.drained(timeout if self._broker.connection_id is not None else 0):
            _logger.warning("deaths of processes not reported", count=self._reporter.unconfirmed)
        self._reporter.close()
        await self._broker.stop()

    def report(self, worker: str, detail: str) -> None:
        """Report a death."""
        if self._reporter.is_full:
            _logger.warning("death of a process not reported", worker=worker)
            return
        self._reporter.send(Event(worker=worker, process_died=ProcessDeath(detail=detail)))

    def connected(self, connection_id: str) -> None:  # noqa: ARG002 - the port's signature
        """Send again what is owed."""
        if self._is_out:
            self._is_out = False
            _logger.info("the broker answers again")
        self._reporter.connected()

    def disconnected(self, detail: str) -> None:
        """Say it, once per outage."""
        self._is_out = True
        _logger.warning("the broker is unreachable; waiting for it", detail=detail)

    def token(self, token: HeldToken) -> None:
        """Return it: a supervisor runs nothing."""
        token.give_back()

    def message(self, message: WorkerMessage) -> None:
        """Pass it over: nothing is sent to a supervisor."""

    def unreadable(self) -> None:
        """Pass it over: nothing is sent to a supervisor."""
