"""Telling what will never work from what may work later."""

from collections.abc import Iterator

import pika.exceptions  # type: ignore[import-untyped]  # published without types

from rejoinder_broker.port import BrokerError, BrokerRefused, BrokerUnavailable

_ACCESS_REFUSED = 403
_PRECONDITION_FAILED = 406


def classify_open_error(error: BaseException, *, address: str) -> BrokerError:
    """Return what a failure to open a connection means."""
    for cause in _causes(error):
        text = str(cause.args[0]) if cause.args else ""
        # pika guesses from the stage at which the stream ended; only a close that RabbitMQ itself sent is a refusal,
        # since a node that goes down cuts handshakes too.
        if isinstance(cause, pika.exceptions.ProbableAuthenticationError) and "(403)" in text:
            return BrokerRefused(f"{address} refused the credentials: correct user and password in the broker URL.")
        if isinstance(cause, pika.exceptions.AuthenticationError):
            return BrokerRefused(f"{address} offers no login with user and password: enable its PLAIN mechanism.")
        if isinstance(cause, pika.exceptions.ProbableAccessDeniedError) and "(530)" in text and "limit" not in text:
            return BrokerRefused(
                f"{address} refused the virtual host: create it, permit it to the user, or correct the broker URL."
            )
    return BrokerUnavailable(f"{address} cannot be reached: {_innermost(error)}")


def classify_close(error: BaseException) -> BrokerError:
    """Return what the end of a channel or a connection means."""
    if isinstance(error, pika.exceptions.ChannelClosedByBroker):
        if error.reply_code == _ACCESS_REFUSED:
            return BrokerRefused(f"RabbitMQ denies what the layout needs; permit it to the user: {error.reply_text}")
        if error.reply_code == _PRECONDITION_FAILED:
            return BrokerRefused(
                f"RabbitMQ holds something else under a name of the layout; delete it or set another prefix: "
                f"{error.reply_text}"
            )
    if isinstance(error, pika.exceptions.ChannelClosed | pika.exceptions.ConnectionClosed):
        return BrokerUnavailable(f"RabbitMQ closed it: {error.reply_text}")
    return BrokerUnavailable(f"The connection was lost: {_innermost(error)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    nested = [*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args]
    for cause in nested:
        if isinstance(cause, BaseException):
            yield from _causes(cause)


def _innermost(error: BaseException) -> str:
    *_, cause = _causes(error)
    return str(cause) or type(cause).__name__
