"""RabbitMQ as the broker."""

from .server import RabbitServerBroker
from .topology import Topology
from .worker import RabbitWorkerBroker

__all__ = ["RabbitServerBroker", "RabbitWorkerBroker", "Topology"]
