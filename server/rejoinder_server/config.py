"""The server's settings: every flag and variable, with its default and unit."""

import os
import socket
from datetime import timedelta
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rejoinder_broker.reading import MAX_PAYLOAD_BYTES
from rejoinder_broker.settings import PREFIX, Duration, Names
from rejoinder_server.check import Limits
from rejoinder_server.check_times import MAX_MULTIPLIER
from rejoinder_server.lifecycle import Rules
from rejoinder_server.operation import RetryPolicy, Span, Timeouts

PAIRINGS = {"sqlite": ("local",), "postgresql": ("amqp", "amqps"), "postgres": ("amqp", "amqps")}


_CONFIG = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)
_STORE: Any = Field(
    "sqlite:///rejoinder.db", description="Where operations are kept: sqlite:///PATH or postgresql://…."
)
_LOG_LEVEL: Any = Field("info", description="Least level that is logged.")
_LOG_FORMAT: Any = Field("console", description="Form of the log, on stderr.")

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["console", "json"]


class MigrateSettings(BaseSettings):
    """What `rejoinder-server migrate` can be told: it needs a store, and nothing that goes with it."""

    model_config = _CONFIG

    store: str = _STORE
    log_level: LogLevel = _LOG_LEVEL
    log_format: LogFormat = _LOG_FORMAT


class ServerSettings(BaseSettings):
    """What `rejoinder-server` can be told."""

    model_config = _CONFIG

    listen: str = Field("127.0.0.1:50051", description="Address and port to serve gRPC on; port 0 takes a free one.")
    store: str = _STORE
    store_connections: int = Field(
        10, ge=2, le=1000, description="Most connections to PostgreSQL, or readers of SQLite."
    )
    store_timeout: Duration = Field(
        timedelta(seconds=10), description="Longest wait for a connection, a lock and a statement of the store."
    )
    broker: str = Field("local://", description="What carries messages to workers: local:// or amqp://….")
    broker_prefix: str = Field(
        "rejoinder",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="First word of the names of all queues and exchanges.",
    )
    handlers: Names = Field(
        (),
        description="Handler modules of the embedded worker; may be repeated. Without any, rejoinder.echo is offered.",
    )
    worker_processes: int = Field(1, ge=0, le=64, description="Processes of the embedded worker; 0 starts none.")
    worker_threads: int = Field(8, ge=1, le=1000, description="Slots of each process of the embedded worker.")
    claim_interval: Duration = Field(
        timedelta(seconds=5), description="Time between claims of the embedded worker that nothing asked for."
    )
    metrics_listen: str = Field("", description="Address and port to serve Prometheus metrics on; empty serves none.")
    unknown_types: Literal["accept", "refuse"] = Field(
        "refuse", description="What becomes of a submit whose type no worker has ever announced, once any has."
    )
    max_payload_bytes: int = Field(
        1024 * 1024, ge=1, le=MAX_PAYLOAD_BYTES, description="Longest request and result, in bytes."
    )
    max_wait: Duration = Field(
        timedelta(seconds=60), description="Longest wait_timeout of a call; longer ones are cut to it."
    )
    retention: Duration = Field(timedelta(days=7), description="How long an operation is kept after its end.")
    tombstone_retention: Duration = Field(
        timedelta(days=7), description="How long the ids of a purged operation cannot be used again."
    )
    attempt_timeout: Duration = Field(
        timedelta(minutes=30), description="Longest attempt, where neither submit nor handler says."
    )
    max_attempts: int = Field(
        3, ge=1, le=1000, description="Attempts that may fail, where neither submit nor handler says."
    )
    initial_backoff: Duration = Field(timedelta(seconds=1), description="Wait before the second attempt.")
    backoff_multiplier: float = Field(2.0, ge=1, le=MAX_MULTIPLIER, description="Factor from one wait to the next.")
    max_backoff: Duration = Field(timedelta(minutes=5), description="Longest wait between attempts.")
    lease: Duration = Field(
        timedelta(seconds=30), description="How long a worker process that is not heard of keeps its attempts."
    )
    marker_interval: Duration = Field(
        timedelta(seconds=5), description="Time between markers, by which leases and running deadlines are judged."
    )
    cancel_grace: Duration = Field(
        timedelta(seconds=30), description="How long a running handler may go on after its cancel was asked for."
    )
    sweep_interval: Duration = Field(timedelta(seconds=1), description="Time between looks for passed deadlines.")
    schedule_interval: Duration = Field(
        timedelta(seconds=10), description="Longest time between looks for waiting operations that have become due."
    )
    write_timeout: Duration = Field(
        timedelta(seconds=60), description="How long a watch may wait for a reader that does not read before it is cut."
    )
    stop_grace: Duration = Field(timedelta(seconds=10), description="How long calls may go on after SIGTERM.")
    log_level: LogLevel = _LOG_LEVEL
    log_format: LogFormat = _LOG_FORMAT

    @model_validator(mode="after")
    def _check(self) -> Self:
        store, broker = urlsplit(self.store).scheme, urlsplit(self.broker).scheme
        if store not in PAIRINGS:
            raise ValueError(f"--store: unknown scheme {store!r}: use sqlite:///PATH or postgresql://…")
        if broker not in {scheme for schemes in PAIRINGS.values() for scheme in schemes}:
            raise ValueError(f"--broker: unknown scheme {broker!r}: use local:// or amqp://…")
        if broker not in PAIRINGS[store]:
            raise ValueError(
                f"--store {store}:// does not go with --broker {broker}://: use sqlite:// with local://, "
                "or postgresql:// with amqp://"
            )
        if self.handlers and not self.is_embedded:
            raise ValueError("--handlers is for the embedded worker of local://: start rejoinder-worker for amqp://")
        if self.lease < 3 * self.marker_interval:
            raise ValueError("--lease must be at least three times --marker-interval")
        address(self.listen, "--listen")
        if self.metrics_listen:
            address(self.metrics_listen, "--metrics-listen")
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the broker and a worker are part of this server."""
        return urlsplit(self.broker).scheme == "local"

    @property
    def limits(self) -> Limits:
        """What submits are checked against."""
        return Limits(max_payload_bytes=self.max_payload_bytes, max_wait_timeout=span(self.max_wait))

    @property
    def rules(self) -> Rules:
        """How long things last."""
        return Rules(
            lease=span(self.lease),
            cancel_grace=span(self.cancel_grace),
            tombstone_retention=span(self.tombstone_retention),
        )

    @property
    def timeouts(self) -> Timeouts:
        """Timeouts where neither submit nor handler says."""
        return Timeouts(attempt=span(self.attempt_timeout))

    @property
    def retry_policy(self) -> RetryPolicy:
        """Retry policy where neither submit nor handler says."""
        return RetryPolicy(
            max_attempts=self.max_attempts,
            initial_backoff=span(self.initial_backoff),
            backoff_multiplier=self.backoff_multiplier,
            max_backoff=span(self.max_backoff),
        )


def span(value: timedelta) -> Span:
    """Return microseconds."""
    return value // timedelta(microseconds=1)


def address(text: str, flag: str) -> tuple[str, int]:
    """Split `HOST:PORT`.

    Raises:
        ValueError: It is not that.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{flag}: {text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def server_id() -> str:
    """Return a name for this process that says where it runs."""
    return f"{socket.gethostname()}-{os.getpid()}"
