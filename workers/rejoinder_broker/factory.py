"""Choosing the broker that a URL names."""

from .local import LocalServerBroker, LocalWorkerBroker
from .port import BrokerRefused, ServerBroker, WorkerBroker


def server_broker(url: str, *, prefix: str = "rejoinder") -> ServerBroker:
    """Return the server's side of a broker, not yet started.

    Args:
        url: `local://`, `local:///PATH`, or `amqp://` or `amqps://` with user, password, host and virtual host.
        prefix: First word of all names in RabbitMQ.

    Raises:
        BrokerRefused: The URL names no broker of these.
    """
    if _scheme(url) == "local":
        return LocalServerBroker(url)
    # A process with the local broker does without pika.
    from .rabbitmq import RabbitServerBroker

    return RabbitServerBroker(url, prefix=prefix)


def worker_broker(url: str, *, prefix: str = "rejoinder") -> WorkerBroker:
    """Return the worker's side of a broker, not yet started; the arguments are those of the server's side."""
    if _scheme(url) == "local":
        return LocalWorkerBroker(url)
    from .rabbitmq import RabbitWorkerBroker

    return RabbitWorkerBroker(url, prefix=prefix)


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in {"local", "amqp", "amqps"}:
        raise BrokerRefused("The broker URL begins with none of local://, amqp:// and amqps://.")
    return scheme
