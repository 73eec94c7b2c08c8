"""The lock that keeps a second server off a store's file."""

import fcntl
import os
from pathlib import Path
from typing import Final

from rejoinder_server.store.port import StoreRefused

_MAGIC: Final = b"SQLite format 3\0"
"""How every SQLite file begins, by its format's specification; an empty file is an empty database."""


def refuse_strange(path: Path) -> None:
    """Refuse a file that is something else, before anything is put beside it.

    Raises:
        StoreRefused: It is not a database.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
    except IsADirectoryError as error:
        raise StoreRefused(f"cannot open {path}: it is a folder") from error
    except OSError:
        return  # it is not there yet, or whoever opens it says what is wrong
    if begin not in (b"", _MAGIC):
        raise StoreRefused(f"cannot open {path}: file is not a database")


class FileLock:
    """A lock on a file beside the store's, which the system lets go with its process, however that ends.

    Child processes that are started as programs do not inherit it.

    Args:
        path: The store's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            StoreRefused: Another process has it, or the folder is missing or not writable.
        """
        try:
            descriptor = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreRefused(f"cannot write in {self._path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreRefused(f"another server (process {holder}) has {self._path} open") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go; its file stays, since removing it would let two processes lock two files."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
