"""The broker between servers and workers: a port, and RabbitMQ or a local socket behind it."""

from .factory import server_broker, worker_broker
from .local import LocalServerBroker, LocalWorkerBroker
from .port import (
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    HeldToken,
    Kind,
    NotRecorded,
    RefusedEvent,
    ServerBroker,
    ServerHandlers,
    WorkerBroker,
    WorkerHandlers,
)

__all__ = [
    "BrokerError",
    "BrokerRefused",
    "BrokerUnavailable",
    "HeldToken",
    "Kind",
    "LocalServerBroker",
    "LocalWorkerBroker",
    "NotRecorded",
    "RefusedEvent",
    "ServerBroker",
    "ServerHandlers",
    "WorkerBroker",
    "WorkerHandlers",
    "server_broker",
    "worker_broker",
]
