"""What goes wrong in SQLite, as the port's errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rejoinder_server.store.port import DataRefused, StoreError, StoreRefused, StoreUnavailable

_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}
_REFUSED: Final = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_DATA: Final = {sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG}


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into the port's, naming the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, path) from error
    except (OverflowError, UnicodeEncodeError) as error:
        raise DataRefused(f"{path} cannot hold a value: {error}") from error


def _of_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    # An extended code tells more in its higher bytes.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    message = f"{path}: {error}"
    if code in _UNAVAILABLE:
        return StoreUnavailable(message)
    if code in _REFUSED:
        return StoreRefused(message)
    if code in _DATA or isinstance(error, sqlite3.DataError):
        return DataRefused(message)
    return StoreError(message)
