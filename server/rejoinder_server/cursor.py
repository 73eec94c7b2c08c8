"""Cursors and page tokens: opaque, URL-safe texts that name a place in a history or in a listing.

A text is a kind with a version, then base64 of the fields and of their checksum. The checksum only tells a damaged copy
from a good one; cursors grant no rights, so nothing is signed.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import astuple, dataclass
from zlib import crc32

from rejoinder_server.errors import InvalidField
from rejoinder_server.operation import Instant, Key, Operation

MALFORMED_CURSOR = "MALFORMED_CURSOR"
FOREIGN_CURSOR = "FOREIGN_CURSOR"
MALFORMED_PAGE_TOKEN = "MALFORMED_PAGE_TOKEN"  # noqa: S105 - the name of an error
PAGE_TOKEN_MISMATCH = "PAGE_TOKEN_MISMATCH"  # noqa: S105 - the name of an error

_CURSOR = "c1"
_PAGE_TOKEN = "p1"  # noqa: S105 - a kind of text
_LONGEST = 1024
_LARGEST = 2**63 - 1
_CHECKSUM_BYTES = 4
# No field may hold it: names are checked for control characters before anything is stored.
_SEPARATOR = "\n"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in one operation's history.

    Attributes:
        sequence: The latest transition that was seen.
        nonce: The nonce of that transition.
        revision: The latest revision that was seen.
    """

    namespace: str
    operation_id: str
    uid: str
    sequence: int
    nonce: str
    revision: int

    @property
    def key(self) -> Key:
        """What names its operation."""
        return Key(self.namespace, self.operation_id)


@dataclass(frozen=True, slots=True)
class PageToken:
    """A place in a listing: what follows this operation.

    Attributes:
        query_digest: Digest of the listing's filters.
    """

    create_time: Instant
    operation_id: str
    query_digest: str


def cursor_of(operation: Operation) -> Cursor:
    """Return the place that shows the operation as it is."""
    return Cursor(
        operation.namespace,
        operation.operation_id,
        operation.uid,
        operation.sequence,
        operation.nonce,
        operation.revision,
    )


def encode(cursor: Cursor) -> str:
    """Return the cursor as a text."""
    return _pack(_CURSOR, *astuple(cursor))


def decode(text: str) -> Cursor:
    """Read a cursor that a caller sent.

    Raises:
        InvalidField: The text is not one that `encode` made (MALFORMED_CURSOR).
    """
    try:
        namespace, operation_id, uid, sequence, nonce, revision = _unpack(_CURSOR, text)
        return Cursor(namespace, operation_id, uid, _number(sequence), nonce, _number(revision))
    except ValueError as error:
        description = "is not a cursor; send one back exactly as it was received, or leave it out"
        raise InvalidField("cursor", description, MALFORMED_CURSOR) from error


def decode_for(key: Key, text: str) -> Cursor:
    """Read a cursor that a caller sent for an operation.

    Raises:
        InvalidField: It is malformed (MALFORMED_CURSOR) or another operation's (FOREIGN_CURSOR).
    """
    cursor = decode(text)
    if cursor.key != key:
        description = "belongs to another operation; send one of this operation, or leave it out"
        raise InvalidField("cursor", description, FOREIGN_CURSOR)
    return cursor


def encode_page_token(token: PageToken) -> str:
    """Return the page token as a text."""
    return _pack(_PAGE_TOKEN, *astuple(token))


def decode_page_token(text: str, *, query_digest: str) -> PageToken:
    """Read a page token that a caller sent.

    Args:
        text: What was sent.
        query_digest: Digest of the filters that came with it.

    Raises:
        InvalidField: The text is not one that `encode_page_token` made (MALFORMED_PAGE_TOKEN), or it belongs to a
            listing with other filters (PAGE_TOKEN_MISMATCH).
    """
    try:
        create_time, operation_id, digest = _unpack(_PAGE_TOKEN, text)
        token = PageToken(_number(create_time), operation_id, digest)
    except ValueError as error:
        description = "is not a page token; send one back exactly as it was received, or leave it out"
        raise InvalidField("page_token", description, MALFORMED_PAGE_TOKEN) from error
    if digest != query_digest:
        description = "belongs to a listing with other filters; repeat those, or leave it out"
        raise InvalidField("page_token", description, PAGE_TOKEN_MISMATCH)
    return token


def _pack(kind: str, *fields: str | int) -> str:
    content = _SEPARATOR.join(map(str, fields)).encode()
    checked = crc32(content).to_bytes(_CHECKSUM_BYTES, "big") + content
    return kind + urlsafe_b64encode(checked).decode().rstrip("=")


def _unpack(kind: str, text: str) -> list[str]:
    """Return the fields of a text; ValueError when `_pack` cannot have made it."""
    if len(text) > _LONGEST or not text.startswith(kind):
        raise ValueError("another kind, or too long")
    encoded = text.removeprefix(kind)
    content = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))[_CHECKSUM_BYTES:]
    fields = content.decode().split(_SEPARATOR)
    # Base64 readers skip foreign characters and stray bits; one place must have one text.
    if _pack(kind, *fields) != text:
        raise ValueError("damaged")
    return fields


def _number(text: str) -> int:
    number = int(text)
    if str(number) != text or not 0 <= number <= _LARGEST:
        raise ValueError("not a number of this kind")
    return number
