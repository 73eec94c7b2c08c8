"""Records what workers report: one recorder at a time, in the order of the events queue.

A batch of events becomes one commit. What the store or the rules refuse is isolated, kept as a dead letter, and fails
its attempt; it never stops the rest. When the store is away the batch raises, and the broker delivers it again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from rejoinder.worker.v1.worker_pb2 import (
    Event,
    HeartbeatAnswer,
    ProgressReport,
    Release,
    Success,
    WorkerMessage,
)
from rejoinder.worker.v1.worker_pb2 import Failure as FailureReport
from rejoinder.worker.v1.worker_pb2 import Fence as FenceMessage
from rejoinder_broker import RefusedEvent
from rejoinder_server import convert, failure, report
from rejoinder_server.announcer import Announcer
from rejoinder_server.editor import Editor
from rejoinder_server.lifecycle import Edit
from rejoinder_server.metrics import Metrics
from rejoinder_server.operation import Change, Key, Operation, Span, State, Watermark, WorkerRecord
from rejoinder_server.store.port import ByKey, DataRefused, Moment, Reported, StoreError, Writes

log = structlog.get_logger(__name__)

Report = ProgressReport | Success | FailureReport | Release


@dataclass(slots=True)
class _Outcome:
    """What a decision notes for after the commit."""

    answers: dict[str, HeartbeatAnswer] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    late: int = 0


class Recorder:
    """Folds events per operation and applies them to the attempts that are current.

    Args:
        announced: Called when types were recorded, whose queues may have changed.
    """

    def __init__(
        self,
        *,
        editor: Editor,
        announcer: Announcer,
        metrics: Metrics,
        max_result_bytes: int,
        marker_interval: Span,
        announced: Callable[[], None],
    ) -> None:
        self._editor = editor
        self._announced = announced
        self._announcer = announcer
        self._metrics = metrics
        self._max_result_bytes = max_result_bytes
        self._marker_interval = marker_interval

    async def record(self, events: Sequence[Event]) -> list[RefusedEvent]:
        """Record a batch in order; return what can never be recorded.

        Raises:
            StoreUnavailable: Nothing, or not everything, is known to be recorded; the batch must come again.
        """
        refused = await self._record(events)
        if refused:
            self._metrics.refused_reports.inc(len(refused))
        return [RefusedEvent(index, why) for index, why in sorted(refused.items())]

    async def _record(self, events: Sequence[Event]) -> dict[int, str]:
        try:
            return await self._commit(events)
        except StoreError as error:
            if not isinstance(error, DataRefused):
                raise
            why = str(error)
        except Exception as error:
            # An event that no rule foresaw must not come again for ever and hold up the rest.
            log.exception("events not understood", events=len(events))
            why = f"{type(error).__name__} while it was applied"
        if len(events) == 1:
            await self._fail_attempt(events[0], why)
            return {0: why}
        # Halves keep the order: the second is recorded only after all that can be recorded of the first.
        middle = len(events) // 2
        first = await self._record(events[:middle])
        second = await self._record(events[middle:])
        return first | {index + middle: why for index, why in second.items()}

    async def _commit(self, events: Sequence[Event]) -> dict[int, str]:
        outcome = _Outcome()

        def decide(operations: Sequence[Operation], moment: Moment) -> Writes:
            nonlocal outcome
            batch = _Batch(self._editor, self._max_result_bytes, self._marker_interval, operations, moment)
            outcome = batch.outcome
            return batch.apply(events)

        keys = {_key(fence) for event in events if (fence := fence_of(event))}
        workers = {event.worker for event in events if event.WhichOneof("event") in ("heartbeat", "process_died")}
        writes = await self._editor.store.transact(Reported(sorted(keys), sorted(workers)), decide)

        self._announcer.changed(writes.changes)
        if writes.types:
            self._announced()
        self._metrics.late_reports.inc(outcome.late)
        for kind, count in Counter(event.WhichOneof("event") for event in events).items():
            self._metrics.events.labels(kind).inc(count)
        # Not awaited: while an alarm holds publishers, the recorder must go on emptying its queue.
        for connection_id, answer in outcome.answers.items():
            self._announcer.tell({connection_id}, WorkerMessage(heartbeat_answer=answer))
        return outcome.refused

    async def _fail_attempt(self, event: Event, why: str) -> None:
        """Fail the attempt whose report the store cannot hold; other events are only kept as dead letters."""
        log.error("event refused by the store", kind=event.WhichOneof("event"), worker=event.worker, error=why)
        message = fence_of(event)
        if message is None:
            return
        fence = convert.fence(message)

        def fail(edit: Edit, _: Moment) -> None:
            if edit.is_current(fence):
                edit.fail(failure.invalid_report(edit.operation, why), permanent=True)

        try:
            writes = await self._editor.each(ByKey([_key(message)]), fail)
        except DataRefused:
            return  # its very fence is what the store cannot hold, so there is no such attempt
        self._announcer.changed(writes.changes, stop=True)


class _Batch:
    """One batch of events on its way into one commit, applied event by event."""

    def __init__(
        self,
        editor: Editor,
        max_result_bytes: int,
        marker_interval: Span,
        operations: Sequence[Operation],
        moment: Moment,
    ) -> None:
        self._rules = editor.rules
        self._max_result_bytes = max_result_bytes
        self._marker_interval = marker_interval
        self._moment = moment
        self._watermark = moment.watermark
        self._edits = {operation.key: editor.begin(operation, moment) for operation in operations}
        self._progress: dict[Key, ProgressReport] = {}
        self._writes = Writes()
        self.outcome = _Outcome()

    def apply(self, events: Sequence[Event]) -> Writes:
        """Apply the events in order and return what they come to."""
        for index, event in enumerate(events):
            try:
                self._apply(event)
            except report.InvalidReport as error:
                self.outcome.refused[index] = str(error)
        for key in list(self._progress):
            self._flush(key)
        for key, edit in self._edits.items():
            if edit.operation.revision != edit.before.revision:
                self._writes.changes.append(Change(edit.before, edit.operation, edit.transitions))
            elif edit.operation.lease_time != edit.before.lease_time and edit.operation.lease_time is not None:
                self._writes.leases[key] = edit.operation.lease_time
        return self._writes

    def _apply(self, event: Event) -> None:
        match event.WhichOneof("event"):
            case "announcement":
                self._announcement(event)
            case "heartbeat":
                self._heartbeat(event)
            case "process_died":
                self._process_died(event)
            case "marker":
                self._marker(event)
            case "progress" | "succeeded" | "failed" | "released" as kind:
                self._report(getattr(event, kind))
            case _:
                raise report.InvalidReport("an event of an unknown kind")

    def _report(self, message: Report) -> None:
        edit = self._edits.get(_key(message.fence))
        fence = convert.fence(message.fence)
        if edit is None or not edit.takes(fence, message.number) or self._is_superseded(message):
            self.outcome.late += 1
            return
        try:
            report.check(message, self._max_result_bytes)
        except report.InvalidReport as error:
            self._flush(edit.operation.key)
            edit.fail(failure.invalid_report(edit.operation, str(error)), permanent=True)
            raise
        if isinstance(message, ProgressReport):
            self._progress[edit.operation.key] = message
            return
        self._flush(edit.operation.key)
        match message:
            case Success():
                edit.succeed(message.number, message.result.SerializeToString())
            case FailureReport():
                delay = convert.span(message.retry_delay) if message.HasField("retry_delay") else None
                edit.fail(message.error.SerializeToString(), permanent=message.permanent, delay=delay)
            case Release():
                edit.release()

    def _is_superseded(self, message: Report) -> bool:
        """Whether a later progress of the attempt waits to be written already."""
        held = self._progress.get(_key(message.fence))
        return held is not None and held.number >= message.number

    def _flush(self, key: Key) -> None:
        """Write the latest progress that was held back, before what follows it."""
        if (message := self._progress.pop(key, None)) is not None:
            self._edits[key].progress(message.number, message.progress.SerializeToString())

    def _announcement(self, event: Event) -> None:
        report.check_announcement(event.announcement)
        for announced in event.announcement.types:
            record = convert.type_record(announced, last_seen_time=self._moment.now)
            self._writes.types[record.name] = record

    def _heartbeat(self, event: Event) -> None:
        """Extend the leases of what the process holds, release what it cannot hold, and answer what it must stop."""
        report.check_heartbeat(event)
        worker, heartbeat = event.worker, event.heartbeat
        lease_time = self._rules.lease_time(self._moment.now, self._watermark)
        listed = {convert.fence(message): message for message in heartbeat.fences}
        answer = HeartbeatAnswer(number=heartbeat.number)
        for edit in self._edits.values():
            operation = edit.operation
            if operation.state is not State.RUNNING or operation.worker != worker:
                continue
            if operation.fence in listed:
                edit.believe_until(lease_time)
                message = listed.pop(operation.fence)
                if operation.cancel_request_time is not None:
                    answer.cancelled.append(message)
            elif operation.connection_id in heartbeat.earlier_connection_ids or heartbeat.leaving:
                # The grant went to a worker queue that is gone, and the process does not hold it.
                self._flush(operation.key)
                edit.release()
        answer.stale.extend(listed.values())
        self._writes.types_seen.update(dict.fromkeys(heartbeat.types, self._moment.now))
        if heartbeat.leaving:
            self._writes.workers.pop(worker, None)
            self._writes.workers_gone.add(worker)
            return
        self.outcome.answers[heartbeat.connection_id] = answer
        self._writes.workers_gone.discard(worker)
        self._writes.workers[worker] = WorkerRecord(
            worker=worker,
            connection_id=heartbeat.connection_id,
            types=tuple(heartbeat.types),
            free_slots=heartbeat.free_slots,
            total_slots=heartbeat.total_slots,
            zombies=heartbeat.zombies,
            unreadable_messages=heartbeat.unreadable_messages,
            lease_time=lease_time,
        )

    def _process_died(self, event: Event) -> None:
        """Let the process's leases end with the marker after next: its last reports may stand behind this one."""
        soon = self._watermark.time + 2 * self._marker_interval
        for edit in self._edits.values():
            operation = edit.operation
            if operation.state is State.RUNNING and operation.worker == event.worker:
                edit.believe_until(min(soon, operation.lease_time or soon))
        self._writes.workers.pop(event.worker, None)
        self._writes.workers_gone.add(event.worker)
        log.warning("worker process died", worker=event.worker, detail=event.process_died.detail)

    def _marker(self, event: Event) -> None:
        time = convert.instant(event.marker.time)
        # One from far ahead would stop the watermark until then, and nobody would be judged.
        if time > self._moment.now + self._rules.lease:
            raise report.InvalidReport("marker.time is more than a lease ahead of the store's clock")
        before = self._watermark
        # The store's clock was set back, after it had been ahead or because a replica took over.
        is_set_back = self._moment.now + self._rules.lease < before.time
        if time <= before.time and not is_set_back:
            return
        # After a gap nobody can tell silence from an outage: whoever lives gets one whole lease to be heard again.
        is_gap = is_set_back or time - before.time > 2 * self._marker_interval
        self._watermark = Watermark(time, time + self._rules.lease if is_gap else before.judge_from)
        self._writes.watermark = self._watermark


def fence_of(event: Event) -> FenceMessage | None:
    """Return the fence of a report; None for other events."""
    kind = event.WhichOneof("event")
    if kind in ("progress", "succeeded", "failed", "released"):
        message: FenceMessage = getattr(event, kind).fence
        return message
    return None


def _key(fence: FenceMessage) -> Key:
    return Key(fence.namespace, fence.operation_id)
