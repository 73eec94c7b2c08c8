"""A worker process: `python -m rejoinder_worker.process FD`, started by the supervisor.

FD is one end of a socket pair, whose other end the supervisor holds. The first line that comes over it is the process's
orders as JSON; the process answers with the line `loaded` once its handlers are imported. Afterwards `stop` asks for a
graceful shutdown, `now` for one without waiting, and the end of the stream says that the supervisor is gone.

Commands do not come as signals, because a terminal or a service manager sends those to all processes at once, and what
reaches a process twice would count as impatience.
"""

import asyncio
import json
import logging
import os
import random
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass

import structlog

from rejoinder_broker import logs
from rejoinder_broker.port import BrokerRefused, WorkerBroker
from rejoinder_worker.clock import SystemClock
from rejoinder_worker.errors import SetupError
from rejoinder_worker.loading import Loaded, load
from rejoinder_worker.runtime import Runtime, RuntimeOptions

# Dramatiq logs a handler's failure with the message's arguments; it is logged here once, with the fields that matter.
QUIET = {"dramatiq": logging.WARNING, "dramatiq.worker.WorkerThread": logging.CRITICAL}

EXIT_CLEAN = 0
EXIT_SETUP = 2
EXIT_UNCLEAN = 75
"""It ended as it was told, but not everything is known to be reported."""
EXIT_REFUSED = 78

_LONGEST_ORDERS = 1_000_000
# What is left to a process whose supervisor is gone; then it ends itself whatever its threads do.
_ORPHAN_SECONDS = 5.0

_logger = structlog.get_logger("rejoinder.worker")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor tells a process at its start; spans in seconds."""

    worker: str
    modules: tuple[str, ...]
    queues: tuple[str, ...]
    broker: str
    broker_prefix: str
    threads: int
    claim_interval: float
    heartbeat_interval: float
    grace: float
    max_result_bytes: int
    log_format: str

    def to_line(self) -> bytes:
        """Write them as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Orders":
        """Read what `to_line` wrote."""
        fields = json.loads(line)
        return cls(**{**fields, "modules": tuple(fields["modules"]), "queues": tuple(fields["queues"])})

    def runtime_options(self) -> RuntimeOptions:
        """Choose what the runtime needs to know."""
        return RuntimeOptions(
            worker=self.worker,
            threads=self.threads,
            claim_interval=self.claim_interval,
            heartbeat_interval=self.heartbeat_interval,
            max_result_bytes=self.max_result_bytes,
        )


def open_broker(url: str, prefix: str) -> WorkerBroker:
    """Make the worker's side of the broker of a URL.

    Raises:
        BrokerRefused: No broker has such a URL.
    """
    # Imported late, because only then is the implementation that the URL names needed.
    from rejoinder_broker import worker_broker

    return worker_broker(url, prefix=prefix)


def main(arguments: list[str] | None = None, *, broker_of: Callable[[str, str], WorkerBroker] = open_broker) -> int:
    """Run a process until it is told to stop.

    Returns:
        The exit status.
    """
    # Ctrl-C reaches the whole process group; the supervisor decides what it means. A handler that does nothing is not
    # inherited by programs that handlers start, as an ignored signal would be.
    signal.signal(signal.SIGINT, lambda *_: None)
    channel = socket.socket(fileno=int((arguments or sys.argv[1:])[0]))
    os.set_inheritable(channel.fileno(), False)
    orders = Orders.from_line(_first_line(channel))
    logs.configure(format=orders.log_format, quiet=QUIET)
    try:
        loaded = load(orders.modules, queues=orders.queues)
    except SetupError as error:
        sys.stderr.write(f"rejoinder-worker: {error}\n")
        return EXIT_SETUP
    channel.sendall(b"loaded\n")
    try:
        return asyncio.run(_serve(orders, loaded, channel=channel, broker_of=broker_of))
    except BrokerRefused as error:
        sys.stderr.write(f"rejoinder-worker: the broker refused: {error}\n")
        return EXIT_REFUSED


def _first_line(channel: socket.socket) -> bytes:
    line = b""
    # Byte by byte, because what follows belongs to the loop; it is short and comes once.
    while not line.endswith(b"\n") and len(line) < _LONGEST_ORDERS:
        byte = channel.recv(1)
        if not byte:
            raise SystemExit(EXIT_UNCLEAN)
        line += byte
    return line


class _Commands:
    """What the supervisor, or a signal, asks of the process."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    async def follow(self, channel: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=channel)
        try:
            while line := await reader.readline():
                self.stop.set()
                if line.strip() == b"now":
                    self.hurry.set()
        finally:
            writer.close()
        _end_soon()
        self.stop.set()
        self.hurry.set()


async def _serve(
    orders: Orders, loaded: Loaded, *, channel: socket.socket, broker_of: Callable[[str, str], WorkerBroker]
) -> int:
    commands = _Commands()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, commands.stop.set)
    following = asyncio.create_task(commands.follow(channel))
    runtime = Runtime(
        broker_of(orders.broker, orders.broker_prefix),
        handlers=loaded.handlers,
        middleware=loaded.middleware,
        options=orders.runtime_options(),
        clock=SystemClock(),
        randomness=random.Random(),
        new_id=lambda: uuid.uuid4().hex,
    )
    try:
        await runtime.start()
        await commands.stop.wait()
        is_clean = await runtime.shut_down(grace=orders.grace, hurry=commands.hurry)
    except BrokerRefused:
        await runtime.abandon()
        raise
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    return EXIT_CLEAN if is_clean else EXIT_UNCLEAN


def _end_soon() -> None:
    timer = threading.Timer(_ORPHAN_SECONDS, os._exit, [EXIT_UNCLEAN])
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    status = main()
    if status == EXIT_UNCLEAN:
        # A handler still runs, perhaps in a thread that the interpreter would wait for.
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)
