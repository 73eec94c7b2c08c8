"""A private RabbitMQ node, which tests may stop, kill, freeze and start again."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from tests.support.waiting import eventually_sync

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_ERLANG = Path("/usr/lib/erlang/bin")
_START_SECONDS = 60
_STOP_SECONDS = 30
_USER = "guest"
_PASSWORD = "guest"


class RabbitNode:
    """A node with ports, cookie, data and log of its own, and an Erlang port mapper of its own."""

    def __init__(self, folder: Path) -> None:
        self.port, self._distribution_port, self._mapper_port = _free_ports(3)
        self._folder = folder
        self._cookie = token_hex(16)
        self._name = f"rejoinder-{token_hex(4)}@localhost"
        self._server: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self._environment = self._write_environment()

    def url(self, vhost: str, *, user: str = _USER, password: str = _PASSWORD) -> str:
        """Return the URL of a virtual host."""
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{vhost}"

    def start(self) -> None:
        """Start the node with the data that it left, and wait until it takes connections."""
        if self._mapper is None:
            self._mapper = self._spawn(_port_mapper(), "-port", str(self._mapper_port))
        self._server = self._spawn(SERVER)
        eventually_sync(self._is_ready, timeout=_START_SECONDS)

    def stop(self) -> None:
        """Stop the node in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the node without warning.

        For some seconds after a quorum queue is made, RabbitMQ 3.10 has its name in memory only; a node killed then
        comes back with a queue that never elects a leader. Tests are not about that, so the names are written first.
        """
        self.evaluate("[dets:sync(Table) || Table <- dets:all()]")
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start the node."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the node from running, with its connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen node run again."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything that was started."""
        self._end(signal.SIGKILL)
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait(_STOP_SECONDS)
            self._mapper = None

    def new_vhost(self) -> str:
        """Make an empty virtual host and return its name."""
        vhost = f"test-{token_hex(6)}"
        self.evaluate(
            f'rabbit_vhost:add(<<"{vhost}">>, <<"test">>),'
            f'rabbit_auth_backend_internal:set_permissions(<<"{_USER}">>, <<"{vhost}">>,'
            ' <<".*">>, <<".*">>, <<".*">>, <<"test">>)'
        )
        return vhost

    def delete_vhost(self, vhost: str) -> None:
        """Remove a virtual host with all that it holds."""
        self.evaluate(f'rabbit_vhost:delete(<<"{vhost}">>, <<"test">>)')

    def raise_memory_alarm(self) -> None:
        """Have the node block everyone who publishes."""
        self.evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.0)")

    def clear_memory_alarm(self) -> None:
        """Have the node take messages again."""
        self.evaluate("vm_memory_monitor:set_vm_memory_high_watermark(0.9)")

    def evaluate(self, expression: str) -> str:
        """Run an Erlang expression in the node; this is the work of rabbitmqctl without the seconds of its start."""
        done = subprocess.run(
            [_ERLANG / "erl_call", "-c", self._cookie, "-address", f"127.0.0.1:{self._distribution_port}", "-e"],
            input=f"{expression}.\n".encode(),
            capture_output=True,
            env=self._environment,
            timeout=_START_SECONDS,
            check=False,
        )
        answer = (done.stdout + done.stderr).decode()
        if done.returncode or not answer.startswith("{ok"):
            raise RuntimeError(f"RabbitMQ node: {answer}")
        return answer

    def _is_ready(self) -> bool:
        if self._server is None or self._server.poll() is not None:
            raise RuntimeError(f"The RabbitMQ node ended: {self._log_tail()}")
        try:
            return _takes_connections(self.port) and "true" in self.evaluate("rabbit:is_running()")
        except RuntimeError:
            return False

    def _spawn(self, *command: str | Path) -> subprocess.Popen[bytes]:
        with (self._folder / "output.log").open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group to signal: the node is a grandchild
            )

    def _end(self, number: signal.Signals) -> None:
        if self._server is None:
            return
        self._signal(number)
        self._server.wait(_STOP_SECONDS)
        eventually_sync(lambda: not _takes_connections(self._distribution_port), timeout=_STOP_SECONDS)
        # What is left of the group after the shell has gone.
        with contextlib.suppress(ProcessLookupError):
            self._signal(signal.SIGKILL)
        self._server = None

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, number)

    def _log_tail(self) -> str:
        return (self._folder / "output.log").read_text()[-2000:]

    def _write_environment(self) -> dict[str, str]:
        home = self._folder / "home"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (self._folder / "enabled_plugins").write_text("[].\n")
        (self._folder / "rabbitmq.conf").write_text("log.console = true\nlog.console.level = error\n")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "absent"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }


def _port_mapper() -> Path:
    return next(_ERLANG.parent.glob("erts-*/bin/epmd"))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [listener.getsockname()[1] for listener in listeners]


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running_node() -> Iterator[RabbitNode]:
    """Run a private node."""
    if not SERVER.exists():
        raise RuntimeError(f"These tests need RabbitMQ: {SERVER} is missing; install Debian's package rabbitmq-server.")
    with tempfile.TemporaryDirectory(prefix="rejoinder-rabbitmq-") as folder:
        node = RabbitNode(Path(folder))
        try:
            node.start()
            yield node
        finally:
            node.close()


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[RabbitNode]:
    """Run one private node for the whole session; a test that stops it starts it again."""
    with running_node() as node:
        yield node


@pytest.fixture
def rabbit_url(rabbit_node: RabbitNode) -> Iterator[str]:
    """Return the URL of a virtual host of the test's own."""
    vhost = rabbit_node.new_vhost()
    yield rabbit_node.url(vhost)
    rabbit_node.delete_vhost(vhost)
