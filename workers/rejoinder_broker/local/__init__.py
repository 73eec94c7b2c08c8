"""The broker inside a server, for workers on the same machine."""

from .server import LocalServerBroker
from .worker import LocalWorkerBroker

__all__ = ["LocalServerBroker", "LocalWorkerBroker"]
