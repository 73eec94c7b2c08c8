import socket
from typing import Any

import pytest

from rejoinder_client import InvalidRequest, Unavailable
from rejoinder_client.channel import make_target, split_servers


@pytest.fixture(autouse=True)
def no_name_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def local_only(host: str, *args: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local_only)


@pytest.mark.parametrize("target", ["localhost:1", "dns:///a:1", "unix:/run/a,b.sock", "ipv4:1.2.3.4:1,5.6.7.8:2"])
def test_one_target_is_left_to_grpc(target: str) -> None:
    assert target == make_target(target)


def test_several_servers_are_looked_up() -> None:
    assert "ipv4:127.0.0.1:1,127.0.0.2:2" == make_target("localhost:1, 127.0.0.2:2")


def test_addresses_of_both_families_become_one_family() -> None:
    assert "ipv6:[::ffff:7f00:1]:1,[::1]:2" == make_target("127.0.0.1:1,[::1]:2")


def test_a_name_that_cannot_be_looked_up_is_passed_over() -> None:
    assert "ipv4:127.0.0.1:2" == make_target("nowhere.invalid:1,127.0.0.1:2")


def test_no_name_at_all_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="looked up"):
        make_target("nowhere.invalid:1,nobody.invalid:2")


@pytest.mark.parametrize("server", ["localhost,b", "localhost:1,b", "localhost:1,b:x"])
def test_a_server_of_a_list_needs_a_port(server: str) -> None:
    with pytest.raises(InvalidRequest, match="host:port"):
        make_target(server)


def test_spaces_and_empty_parts_of_a_list_are_ignored() -> None:
    assert ["a:1", "b:2"] == split_servers(" a:1 ,, b:2,")
