"""Instants as people read them."""

from datetime import UTC, datetime, timedelta

from rejoinder_server.operation import Instant

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(instant: Instant) -> str:
    """Return an instant in RFC 3339, in UTC, with its microseconds if it has any."""
    return (_EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")
