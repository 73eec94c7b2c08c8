"""Reading an AMQP URL."""

from urllib.parse import urlsplit

import pika  # type: ignore[import-untyped]  # published without types

from rejoinder_broker.port import BrokerRefused

_HEARTBEAT_SECONDS = 10
_OPEN_SECONDS = 10
_MALFORMED = (
    "The broker URL is malformed: write amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps://), "
    "with reserved characters in its parts percent-encoded."
)


def read_url(url: str) -> pika.connection.Parameters:
    """Return the connection parameters that a URL names.

    The query may set pika's options, such as `heartbeat`, in seconds.

    Raises:
        BrokerRefused: The URL is malformed. The error quotes nothing of it, since a stray character can make any part
            of a URL the password.
    """
    try:
        parts = urlsplit(url)
        is_whole = (
            parts.scheme in {"amqp", "amqps"}
            and parts.hostname
            and (parts.username is None) == (parts.password is None)
        )
        parameters = pika.URLParameters(url) if is_whole else None
    # pika reads some options as Python literals, which fail in many ways.
    except (ValueError, TypeError, AttributeError, SyntaxError, OSError):
        parameters = None
    if parameters is None:
        raise BrokerRefused(_MALFORMED)
    if "heartbeat=" not in parts.query:
        parameters.heartbeat = _HEARTBEAT_SECONDS
    parameters.socket_timeout = _OPEN_SECONDS
    parameters.stack_timeout = _OPEN_SECONDS
    # A publisher waits in our hands, where each wait has its bound; pika would cut the connection.
    parameters.blocked_connection_timeout = None
    return parameters


def describe(parameters: pika.connection.Parameters) -> str:
    """Return the broker's address for people, without credentials."""
    return f"RabbitMQ at {parameters.host}:{parameters.port}, virtual host {parameters.virtual_host!r}"
