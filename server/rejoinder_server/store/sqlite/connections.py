"""Connections to an SQLite file: one thread that writes, a few that read, none of them the event loop's."""

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from rejoinder_server.store.port import StoreRefused, StoreUnavailable
from rejoinder_server.store.sqlite.failures import translated
from rejoinder_server.store.sqlite.lock import FileLock, refuse_strange

T = TypeVar("T")

_CACHED_STATEMENTS: Final = 256


class Connections:
    """One writing and several reading connections to one file, which is locked meanwhile.

    Args:
        path: The file.
        readers: How many threads read.
        timeout_seconds: The longest wait for an answer.
    """

    def __init__(self, path: Path, *, readers: int, timeout_seconds: float) -> None:
        self.path = path
        self._timeout = timeout_seconds
        self._lock = FileLock(path)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")
        self._writing: sqlite3.Connection | None = None
        # As many as there are reading threads, each made when a thread first finds none.
        self._reading: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()

    async def open(self, prepare: Callable[[sqlite3.Connection], T]) -> T:
        """Lock the file, open it for writing and prepare it, or leave nothing behind.

        Raises:
            StoreRefused: Another server has it, its folder is not writable, or it is not a store.
        """
        return await self._run(self._writer, lambda: self._open(prepare))

    async def once(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work on the locked file without keeping it open.

        Raises:
            StoreRefused: As for `open`.
        """

        def run() -> T:
            done = self._open(work)
            self._let_go()
            return done

        return await self._run(self._writer, run)

    async def close(self) -> None:
        """Close all connections after the calls under way, and let the lock go."""
        await asyncio.to_thread(self._close)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work on the writing connection, after what others asked of it."""

        def run() -> T:
            if self._writing is None:
                raise StoreUnavailable(f"{self.path} is not open")
            with translated(self.path):
                return work(self._writing)

        return await self._run(self._writer, run)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work on a reading connection, as of one instant."""

        def run() -> T:
            if self._writing is None:
                raise StoreUnavailable(f"{self.path} is not open")
            with translated(self.path), self._lend() as connection, transaction(connection, "BEGIN"):
                return work(connection)

        return await self._run(self._readers, run)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(threads, work)
        except RuntimeError as error:
            raise StoreUnavailable(f"{self.path} is closed") from error
        try:
            # Not wait_for, which in Python 3.11 loses a cancellation that comes together with the answer.
            async with asyncio.timeout(self._timeout):
                return await future
        except TimeoutError as error:
            raise StoreUnavailable(f"{self.path} did not answer in {self._timeout:g} s") from error

    def _open(self, prepare: Callable[[sqlite3.Connection], T]) -> T:
        refuse_strange(self.path)
        self._lock.acquire()
        try:
            with translated(self.path):
                connection = self._connect()
                try:
                    # Readers do not wait for the writer, and a commit is on the disk before it is answered.
                    connection.execute("PRAGMA journal_mode = WAL")
                    prepared = prepare(connection)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            self._lock.release()
            raise
        self._writing = connection
        return prepared

    def _close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        while not self._reading.empty():
            self._reading.get_nowait().close()
        self._let_go()

    def _let_go(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.close()
        self._lock.release()

    @contextmanager
    def _lend(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._reading.get_nowait()
        except queue.Empty:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            self._reading.put(connection)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._timeout / 2,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=_CACHED_STATEMENTS,
            )
        except sqlite3.OperationalError as error:
            raise StoreRefused(f"cannot open {self.path}: {error}") from error
        connection.execute("PRAGMA synchronous = FULL")
        return connection


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """Begin a transaction, which the body commits; otherwise it is rolled back."""
    connection.execute(begin)
    try:
        yield
    finally:
        # A full disk or an I/O error may have rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
