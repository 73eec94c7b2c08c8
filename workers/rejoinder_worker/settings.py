"""The settings of a worker pool: flags of `rejoinder-worker`, or `REJOINDER_*` variables."""

import os
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from rejoinder_broker.reading import MAX_PAYLOAD_BYTES
from rejoinder_broker.settings import PREFIX, Duration, Names, parse_duration


class WorkerSettings(BaseSettings):
    """Everything that a worker pool is told, but for its modules."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    broker: str = Field(
        default="amqp://guest:guest@localhost:5672/",
        description="URL of the broker: amqp://…, or local:///path/to.sock for a server on the same machine.",
    )
    broker_prefix: str = Field(
        default="rejoinder",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="First part of the names of queues in the broker; servers and workers must agree.",
    )
    processes: int = Field(default=0, ge=0, le=1024, description="Number of processes; 0 means one for each core.")
    threads: int = Field(default=8, ge=1, le=1024, description="Handlers that run at a time in each process.")
    queues: Names = Field(default=(), description="Queues to serve; all queues of the handlers when none is given.")
    claim_interval: Duration = Field(
        default=timedelta(seconds=5), description="Time between claims that nothing asked for; heals lost tokens."
    )
    heartbeat_interval: Duration = Field(
        default=timedelta(seconds=10),
        description="Longest time between heartbeats; a third of the servers' lease, if less.",
    )
    grace: Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0), le=timedelta(days=1))] = Field(
        default=timedelta(seconds=30), description="Time that running handlers have to finish at shutdown; may be 0s."
    )
    max_result_bytes: int = Field(
        default=1024 * 1024, ge=1, le=MAX_PAYLOAD_BYTES, description="Longest result of a handler, in bytes."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="How log lines look: console or json."
    )

    @property
    def process_count(self) -> int:
        """Number of processes to run."""
        return self.processes or len(os.sched_getaffinity(0))
