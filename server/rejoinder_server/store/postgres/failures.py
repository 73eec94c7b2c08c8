"""What goes wrong in PostgreSQL or on the way to it, as the port's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from rejoinder_server.store.port import DataRefused, StoreError, StoreRefused, StoreUnavailable


class Conflict(StoreUnavailable):
    """Another transaction was in the way, or the schema changed; the same one may well succeed at once."""


_CONFLICTS: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
)

_SHOWN: Final = re.compile(
    r"postgres(?:ql)?://(?:[^@/?#]*@)?(?P<place>[A-Za-z0-9.%_-]*(?::\d+)?/[^?@#:/]*)(?:\?.*)?", re.ASCII
)

_MALFORMED: Final = (
    "the store's URL is malformed: it must look like postgresql://user:password@host:port/database,"
    " special characters percent-encoded"
)

# Classes of SQLSTATE, and single ones. Class 53 is a full disk or memory, 57 a shutdown or a timeout, 58 an I/O error.
_REFUSED: Final = ("28", "3D", "42501", "42704", "42P07")
_UNAVAILABLE: Final = ("08", "25006", "40", "53", "55", "57", "58")
_DATA: Final = ("22", "54")


def shown(url: str) -> str:
    """Return a URL as it may be shown: host and database, never credentials or options."""
    match = _SHOWN.fullmatch(url)
    return f"postgresql://{match['place']}" if match else "the PostgreSQL store"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn errors of asyncpg and of the network into the port's, naming the place."""
    try:
        yield
    except asyncpg.ClientConfigurationError:
        # The driver's own words may quote parts of a password that was not percent-encoded.
        raise StoreRefused(_MALFORMED) from None
    except asyncpg.PostgresError as error:
        raise _of_server(error, place) from error
    except asyncpg.InterfaceError as error:
        # A value that the driver cannot encode is a ValueError too.
        kind = DataRefused if isinstance(error, ValueError) else StoreUnavailable
        raise kind(f"{place}: {_line(error)}") from error
    except (asyncpg.InternalClientError, OSError) as error:
        raise StoreUnavailable(f"{place} cannot be reached: {_line(error)}") from error


@contextmanager
def connecting(place: str) -> Iterator[None]:
    """Turn errors of connecting into the port's, a malformed URL's too."""
    with translated(place):
        try:
            yield
        except asyncpg.InterfaceError:
            raise
        except (ValueError, OverflowError):
            raise StoreRefused(_MALFORMED) from None


def _of_server(error: asyncpg.PostgresError, place: str) -> StoreError:
    code = error.sqlstate or ""
    message = f"{place}: {_line(error)}"
    if isinstance(error, _CONFLICTS):
        return Conflict(message)
    if code.startswith(_REFUSED):
        return StoreRefused(message)
    if code.startswith(_UNAVAILABLE):
        return StoreUnavailable(message)
    if code.startswith(_DATA):
        return DataRefused(message)
    return StoreError(message)


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
