"""Where the servers are and how the connection to them behaves."""

import ipaddress
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc

from rejoinder_client.errors import InvalidRequest, RejoinderError, Unavailable

Metadata = Sequence[tuple[str, str]]
MetadataSource = Metadata | Callable[[], Metadata] | None

_SERVICE = "rejoinder.v1.OperationService"
# WatchStatus is not among them: the watch resumes by cursor, which a blind repetition would lose.
_RETRIED = ("Submit", "GetStatus", "CancelOperation", "ListOperations", "DeleteOperation", "ListTypes")

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    # The documented name, grpc.keepalive_timeout_ms, has no effect in grpcio 1.85.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own pause between connects grows to two minutes, far longer than a server's restart takes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # The server bounds payloads and pages; a smaller bound here could never be got past.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach the servers.

    Attributes:
        server: Any gRPC target (`localhost:50051`, `dns:///rejoinder.internal:50051`, `unix:/run/rejoinder.sock`), or
            several `host:port` with commas between. Names in such a list are looked up once, when the client connects;
            `dns:///` follows changes.
        namespace: Partition; empty for `default`.
        credentials: Credentials of the channel; plain text when None.
        metadata: Pairs that go with every call, or a function that returns them, asked before each call.
        timeout: Longest time that a unary call may take, beside what the server was asked to wait.
    """

    server: str
    namespace: str
    credentials: grpc.ChannelCredentials | None
    metadata: MetadataSource
    timeout: timedelta

    def call_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of the next call."""
        return tuple(self.metadata() if callable(self.metadata) else self.metadata or ())

    def target(self) -> str:
        """Return the target that gRPC understands.

        Raises:
            InvalidRequest: A server of the list has no port.
            Unavailable: No name of the list can be looked up.
        """
        return make_target(self.server)

    def options(self) -> list[tuple[str, int | str]]:
        """Return the channel's options."""
        options: list[tuple[str, int | str]] = [*_OPTIONS, ("grpc.service_config", _service_config(self.server))]
        servers = split_servers(self.server)
        if len(servers) > 1:
            # The looked-up addresses are in no certificate; the first name stands for all of them.
            options.append(("grpc.default_authority", servers[0]))
        return options


def client_closed() -> RejoinderError:
    """Return the error of a call on a client that was closed."""
    return RejoinderError("This client is closed.", code="CANCELLED", reason="CLIENT_CLOSED")


def split_servers(server: str) -> list[str]:
    """Return the servers of a list, or the one target."""
    if "/" in server or server.startswith(("unix:", "ipv4:", "ipv6:", "dns:", "vsock:")):
        return [server]
    return [part.strip() for part in server.split(",") if part.strip()]


def make_target(server: str) -> str:
    """Return one gRPC target for one server or several.

    gRPC takes several addresses in one target only when they are numbers of one family, so names are looked up here,
    and IPv4 addresses are written as IPv6 when a server has no other.
    """
    servers = split_servers(server)
    if len(servers) < 2:
        return servers[0] if servers else server
    found = [addresses for addresses in map(_look_up, servers) if addresses]
    if not found:
        raise Unavailable(
            f"None of the servers in {server!r} can be looked up.", code="UNAVAILABLE", reason="UNKNOWN_HOST"
        )
    if all(any(address.version == 4 for address, _ in addresses) for addresses in found):
        flat = [f"{address}:{port}" for addresses in found for address, port in addresses if address.version == 4]
        return "ipv4:" + ",".join(dict.fromkeys(flat))
    flat = [f"[{_to_ipv6(address)}]:{port}" for addresses in found for address, port in addresses]
    return "ipv6:" + ",".join(dict.fromkeys(flat))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _look_up(server: str) -> list[tuple[_Address, int]]:
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdecimal():
        raise InvalidRequest(
            f"Server {server!r} must be written as host:port (INVALID_FIELD)",
            code="INVALID_ARGUMENT",
            reason="INVALID_FIELD",
        )
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError:
        return []  # the others may still serve
    return [(ipaddress.ip_address(str(address[0]).partition("%")[0]), int(address[1])) for *_, address in found]


def _to_ipv6(address: _Address) -> ipaddress.IPv6Address:
    return address if address.version == 6 else ipaddress.IPv6Address(f"::ffff:{address}")


def _service_config(server: str) -> str:
    config: dict[str, object] = {
        "methodConfig": [
            {
                "name": [{"service": _SERVICE, "method": method} for method in _RETRIED],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    # A server cuts with CANCELLED what reaches it while it stops, and streams that it sheds.
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ]
    }
    if len(split_servers(server)) > 1:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    return json.dumps(config)
