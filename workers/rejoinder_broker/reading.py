"""Strict readers of what crosses a broker: a message is read whole or it is unreadable."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from rejoinder.worker.v1.worker_pb2 import Changes, Claim, Event, LocalFrame, Token, WorkerMessage

from .port import BrokerRefused, Kind

_M = TypeVar("_M", bound=Message)

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Size above which no message is sent; both brokers carry this much with room to spare."""

MAX_PAYLOAD_BYTES = 7 * 1024 * 1024
"""Longest request or result that fits into a message, with the labels and headers that travel with it."""


class UnreadableError(Exception):
    """A message could not be read; the text says why, and quotes nothing of it."""


def check_size(body: bytes) -> bytes:
    """Return a message that is about to be sent.

    Raises:
        BrokerRefused: It is too large for any broker.
    """
    if len(body) > MAX_MESSAGE_BYTES:
        raise BrokerRefused(
            f"A message of {len(body)} bytes is larger than the {MAX_MESSAGE_BYTES} that a broker takes."
        )
    return body


def read_claim(body: bytes) -> Claim:
    """Read a claim, which must say who asks and where the answer goes."""
    return check_claim(_parse(Claim(), body))


def check_claim(claim: Claim) -> Claim:
    """Return a claim that says who asks and where the answer goes."""
    if not (claim.claim_id and claim.connection_id):
        raise UnreadableError("The claim names no claim or no connection.")
    return claim


def read_event(body: bytes) -> Event:
    """Read an event of a kind that this version knows."""
    return check_event(_parse(Event(), body))


def check_event(event: Event) -> Event:
    """Return an event of a kind that this version knows."""
    if event.WhichOneof("event") is None:
        raise UnreadableError("The event is of no known kind.")
    return event


def read_worker_message(body: bytes) -> WorkerMessage:
    """Read a message to a worker of a kind that this version knows."""
    return check_worker_message(_parse(WorkerMessage(), body))


def check_worker_message(message: WorkerMessage) -> WorkerMessage:
    """Return a message to a worker of a kind that this version knows."""
    if message.WhichOneof("message") is None:
        raise UnreadableError("The message is of no known kind.")
    return message


def read_token(body: bytes) -> Kind:
    """Read what a token names."""
    return check_token(_parse(Token(), body))


def check_token(token: Token) -> Kind:
    """Return what a token names, which must be both a queue and a type."""
    if not (token.queue and token.type):
        raise UnreadableError("The token names no queue or no type.")
    return Kind(token.queue, token.type)


def read_changes(body: bytes) -> Changes:
    """Read the names of changed operations."""
    return _parse(Changes(), body)


def read_frame(body: bytes) -> LocalFrame:
    """Read a frame of the local broker of a kind that this version knows."""
    frame = _parse(LocalFrame(), body)
    if frame.WhichOneof("frame") is None:
        raise UnreadableError("The frame is of no known kind.")
    return frame


def _parse(message: _M, body: bytes) -> _M:
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise UnreadableError("The bytes are not the expected protobuf message.") from error
    return message
