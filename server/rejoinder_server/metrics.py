"""What the server counts, in Prometheus' form."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from rejoinder_server.operation import SECOND, Change, State

MOST_TYPES = 1_000
"""Types that have series of their own; callers may invent types, and what comes later is counted as `other`."""

_LONG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600)


class Metrics:
    """All series of one server; each has the prefix `rejoinder_`."""

    def __init__(self) -> None:
        self._types: set[str] = set()
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "rejoinder_requests", "Calls that ended, by method and gRPC code.", ["method", "code"], registry=registry
        )
        self.request_seconds = Histogram(
            "rejoinder_request_seconds", "Duration of calls but streams.", ["method"], registry=registry
        )
        self.submitted = Counter("rejoinder_submitted", "Operations stored.", ["type"], registry=registry)
        self.deduplicated = Counter(
            "rejoinder_deduplicated", "Submits answered with an earlier operation.", registry=registry
        )
        self.finished = Counter(
            "rejoinder_finished", "Operations that became terminal.", ["type", "state"], registry=registry
        )
        self.attempts_ended = Counter(
            "rejoinder_attempts_ended",
            "Attempts that ended, by the transition's reason.",
            ["reason"],
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "rejoinder_queue_seconds", "From due to the first grant.", ["type"], buckets=_LONG, registry=registry
        )
        self.run_seconds = Histogram(
            "rejoinder_run_seconds", "From grant to the end of an attempt.", ["type"], buckets=_LONG, registry=registry
        )
        self.operations = Gauge("rejoinder_operations", "Operations stored, by state.", ["state"], registry=registry)
        self.waiting = Gauge(
            "rejoinder_waiting", "Operations that wait, by queue and type.", ["queue", "type"], registry=registry
        )
        self.oldest_waiting_seconds = Gauge(
            "rejoinder_oldest_waiting_seconds", "Age of the oldest due operation that waits.", registry=registry
        )
        self.watchers = Gauge("rejoinder_watchers", "Callers that wait for a change.", registry=registry)
        self.events = Counter("rejoinder_events_recorded", "Events recorded, by kind.", ["kind"], registry=registry)
        self.late_reports = Counter(
            "rejoinder_late_reports_dropped", "Reports of attempts that were not current.", registry=registry
        )
        self.refused_reports = Counter(
            "rejoinder_refused_reports", "Reports that could not be recorded, kept as dead letters.", registry=registry
        )
        self.unreadable = Counter(
            "rejoinder_unreadable_messages", "Messages that could not be read.", ["source"], registry=registry
        )
        self.worker_unreadable = Gauge(
            "rejoinder_worker_unreadable_messages",
            "Messages that live worker processes could not read since they began.",
            registry=registry,
        )
        self.tokens = Counter("rejoinder_tokens_offered", "Tokens sent to workers.", registry=registry)
        self.claims = Counter(
            "rejoinder_claims",
            "Claims answered: granted, empty (nothing was due) or invalid.",
            ["answer"],
            registry=registry,
        )
        self.grants = Counter(
            "rejoinder_grants",
            "Grants: sent, undeliverable (released at once) or unknown.",
            ["fate"],
            registry=registry,
        )
        self.workers = Gauge("rejoinder_workers", "Worker processes alive.", registry=registry)
        self.worker_slots = Gauge(
            "rejoinder_worker_slots", "Slots of live worker processes.", ["state"], registry=registry
        )
        self.zombies = Gauge(
            "rejoinder_zombies", "Handlers that run for an attempt that is not current.", registry=registry
        )
        self.watermark_lag_seconds = Gauge(
            "rejoinder_watermark_lag_seconds", "Age of the newest recorded marker.", registry=registry
        )
        self.broker_connected = Gauge("rejoinder_broker_connected", "1 while the broker answers.", registry=registry)

    def submit(self, type: str) -> None:
        """Count a stored operation."""
        self.submitted.labels(self._label(type)).inc()

    def transitions(self, change: Change) -> None:
        """Count what a committed change says of queues, runs and ends."""
        before, after = change.before, change.after
        if after is None:
            return
        for transition in change.transitions:
            if transition.reason == "GRANTED" and transition.attempt == 1:
                self.queue_seconds.labels(self._label(after.type)).observe((transition.time - before.due_time) / SECOND)
        if before.state is State.RUNNING and after.state is not State.RUNNING and before.grant_time is not None:
            self.run_seconds.labels(self._label(after.type)).observe((after.update_time - before.grant_time) / SECOND)
            self.attempts_ended.labels(change.transitions[-1].reason).inc()
        if after.state.is_terminal and not before.state.is_terminal:
            self.finished.labels(self._label(after.type), after.state.name).inc()

    def _label(self, type: str) -> str:
        if len(self._types) < MOST_TYPES:
            self._types.add(type)
        return type if type in self._types else "other"
