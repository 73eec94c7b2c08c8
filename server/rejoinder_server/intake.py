"""Where what the broker delivers enters the server."""

from collections.abc import Sequence

import structlog

from rejoinder.worker.v1.worker_pb2 import Changes, Claim, Event
from rejoinder_broker import NotRecorded, RefusedEvent
from rejoinder_server.granter import Granter
from rejoinder_server.health import DISPATCH, Health
from rejoinder_server.hub import Hub
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import Key
from rejoinder_server.recorder import Recorder
from rejoinder_server.scheduler import Scheduler
from rejoinder_server.store.port import StoreError

log = structlog.get_logger(__name__)


class Intake:
    """Hands claims to the granter, events to the recorder, changes to the hub; see `ServerHandlers`."""

    def __init__(
        self,
        *,
        granter: Granter,
        recorder: Recorder,
        hub: Hub,
        scheduler: Scheduler,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._granter = granter
        self._recorder = recorder
        self._hub = hub
        self._scheduler = scheduler
        self._health = health
        self._metrics = metrics

    async def claims(self, claims: Sequence[Claim]) -> None:
        """Grant what is due."""
        try:
            await self._granter.answer(claims)
        except StoreError as error:
            log.debug("claims not answered", error=str(error))  # the workers ask again

    async def events(self, events: Sequence[Event]) -> Sequence[RefusedEvent]:
        """Record in one commit."""
        try:
            return await self._recorder.record(events)
        except StoreError as error:
            raise NotRecorded(str(error)) from error

    def changed(self, changes: Changes) -> None:
        """Wake the watchers of changed operations."""
        for changed in changes.operations:
            self._hub.wake(Key(changed.namespace, changed.operation_id))

    def changes_missed(self) -> None:
        """Wake all watchers."""
        self._hub.wake_all()

    def unreadable(self, source: str) -> None:
        """Count a message that could not be read."""
        self._metrics.unreadable.labels(source).inc()

    def connected(self) -> None:
        """Offer all that is due: tokens may have been lost."""
        log.info("broker answers")
        self._metrics.broker_connected.set(1)
        self._health.set(DISPATCH, is_serving=True)
        self._scheduler.offer_all()

    def disconnected(self, detail: str) -> None:
        """Say once per outage that nothing is dispatched."""
        log.warning("broker does not answer; submits are accepted and wait", detail=detail)
        self._metrics.broker_connected.set(0)
        self._health.set(DISPATCH, is_serving=False)
