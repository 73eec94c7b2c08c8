"""Where the local broker listens."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from rejoinder_broker.port import BrokerRefused

_MAX_PATH_BYTES = 107  # of a Unix socket's address
_MALFORMED = "The broker URL is malformed: write local:///PATH/OF/SOCKET, or local:// alone to have a server choose."


def read_url(url: str) -> Path | None:
    """Return the socket's path; None when the server chooses.

    Raises:
        BrokerRefused: The URL is malformed or the path too long for a socket.
    """
    parts = urlsplit(url)
    if parts.scheme != "local" or parts.netloc or parts.query or parts.fragment:
        raise BrokerRefused(_MALFORMED)
    if parts.path in {"", "/"}:
        return None
    path = Path(unquote(parts.path))
    if len(bytes(path)) > _MAX_PATH_BYTES:
        raise BrokerRefused(f"The broker's socket path is longer than {_MAX_PATH_BYTES} bytes: choose a shorter one.")
    return path


def write_url(path: Path) -> str:
    """Return the URL that names a socket."""
    return f"local://{quote(str(path))}"


class Address:
    """A bound socket and, where the server chose its place, the private folder around it."""

    def __init__(self, path: Path | None) -> None:
        self._folder = None if path else tempfile.TemporaryDirectory(prefix="rejoinder-", ignore_cleanup_errors=True)
        self.path = path or Path(self._folder.name if self._folder else "") / "broker"

    async def listen(self, accept: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]) -> asyncio.Server:
        """Listen on a socket that only this user may connect to.

        Raises:
            BrokerRefused: Another server listens there, or the place cannot be used.
        """
        try:
            await self._remove_leftover()
            return await asyncio.start_unix_server(accept, sock=self._bind())
        except OSError as error:
            self._remove_folder()
            raise BrokerRefused(f"The broker cannot listen at {self.path}: {error.strerror}.") from error

    def remove(self) -> None:
        """Remove the socket and the chosen folder."""
        self.path.unlink(missing_ok=True)
        self._remove_folder()

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self.path))
            self.path.chmod(0o600)  # nobody can connect before it listens
        except OSError:
            listener.close()
            raise
        return listener

    def _remove_folder(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    async def _remove_leftover(self) -> None:
        # A server that was killed leaves its socket, and nothing answers there.
        if not self.path.is_socket():
            return
        try:
            _, writer = await asyncio.open_unix_connection(self.path)
        except ConnectionRefusedError:
            self.path.unlink(missing_ok=True)
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            raise BrokerRefused(f"Another server listens at {self.path}: stop it or choose another path.")
