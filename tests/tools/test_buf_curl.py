"""People who have a generic gRPC tool and a server's address need nothing else."""

import itertools
import json
import re
import shlex

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rejoinder.v1 import operation_service_pb2
from tests.support.buf import Answer, buf, call
from tests.support.documents import blocks, read
from tests.support.processes import Server

DOCUMENT = "docs/grpcurl.md"
ADDRESS = "localhost:50051"
NOT_FOUND = 5


def test_reflection_lists_every_method_of_the_contract(echo_server: Server) -> None:
    answer = buf("curl", "--protocol", "grpc", "--list-methods", f"http://{echo_server.address}")

    service = operation_service_pb2.DESCRIPTOR.services_by_name["OperationService"]
    listed = answer.output.split()
    methods = {f"{service.full_name}/{method.name}" for method in service.methods}
    assert methods == {name for name in listed if name.startswith("rejoinder.")}
    assert "grpc.health.v1.Health/Check" in listed


@pytest.mark.parametrize("payload", [{"value": {"rows": 10}}, {"json": '{"rows":10}'}], ids=["value", "json"])
def test_a_submitted_payload_comes_back_as_the_result(echo_server: Server, payload: dict[str, object]) -> None:
    request = {"type": "rejoinder.echo", "payload": payload, "wait_timeout": "20s"}
    operation = call(echo_server.address, "Submit", request).message["operation"]

    assert "STATE_SUCCEEDED" == operation["state"]
    assert {"json": '{"rows":10}', "contentType": "application/json"} == operation["result"]


def test_a_watch_streams_to_the_end_and_ends_with_ok(echo_server: Server) -> None:
    request = {"type": "rejoinder.echo", "delay": "0.5s", "payload": {"value": "ink"}}
    operation_id = call(echo_server.address, "Submit", request).message["operation"]["operationId"]

    watch = call(echo_server.address, "WatchStatus", {"operation_id": operation_id})

    assert (0, "") == (watch.status, watch.errors)
    first, *others = watch.messages
    assert "STATE_ACCEPTED" == first["snapshot"]["state"]
    assert ["STATE_RUNNING", "STATE_SUCCEEDED"] == [message["transition"]["state"] for message in others]
    assert '"ink"' == others[-1]["transition"]["operation"]["result"]["json"]


def test_an_unknown_operation_is_not_found_with_reason_and_remedy_in_the_message(echo_server: Server) -> None:
    answer = call(echo_server.address, "GetStatus", {"operation_id": "nobody"})

    assert (NOT_FOUND * 8, "not_found") == (answer.status, answer.error["code"])
    assert answer.error["message"] == (
        "there is no operation nobody in this namespace; check both names, or submit it first (UNKNOWN)"
    )


@pytest.mark.parametrize("part", ["", "rejoinder.store", "rejoinder.dispatch"])
def test_health_is_checked_for_the_server_and_its_parts(echo_server: Server, part: str) -> None:
    answer = call(echo_server.address, "Check", {"service": part}, service="grpc.health.v1.Health")

    assert {"status": "SERVING"} == answer.message


def test_reflection_describes_what_the_document_describes_and_the_error_details(echo_server: Server) -> None:
    described = re.findall(r"describe (\S+)", read(DOCUMENT))
    details = [f"google.rpc.{name}" for name in ("Status", "ErrorInfo", "BadRequest", "RetryInfo")]

    assert 3 == len(described)
    assert [] == [symbol for symbol in described + details if not _is_reflected(echo_server.address, symbol)]


def test_the_document_s_commands_are_answered_as_it_says(echo_server: Server) -> None:
    cursors: list[str] = []
    steps = list(_steps())
    assert len(steps) > 15
    for command, expected in steps:
        answer = _run(command, address=echo_server.address, cursors=cursors)
        assert _pattern(expected).fullmatch(_printed(answer)), f"{command}\nanswered:\n{_printed(answer)}"
        if "WatchStatus" in command and not answer.status:
            cursors = [message["cursor"] for message in answer.messages]


def test_the_document_s_two_commands_ask_the_same() -> None:
    for block in blocks(read(DOCUMENT)):
        if block.language == "sh" and "describe" not in block.text and "list" not in block.text:
            by_grpcurl, by_buf = map(shlex.split, block.text.strip().splitlines())
            assert ["grpcurl", "-plaintext"] == by_grpcurl[:2]
            assert ["buf", "curl", "--protocol", "grpc"] == by_buf[:4]
            *data, address, method = by_grpcurl[2:]
            assert [*data, f"http://{address}/{method}"] == by_buf[4:]


def _steps() -> list[tuple[str, str]]:
    """Return the commands of buf with the answers that follow them."""
    return [
        (next(line for line in first.text.splitlines() if line.startswith("buf ")), second.text)
        for first, second in itertools.pairwise(blocks(read(DOCUMENT)))
        if first.language == "sh" and second.language in ("json", "text")
    ]


def _run(command: str, *, address: str, cursors: list[str]) -> Answer:
    if "CURSOR" in command:
        command = command.replace("CURSOR", cursors[1])
    _, *arguments = shlex.split(command.replace(ADDRESS, address))
    return buf(*arguments)


def _printed(answer: Answer) -> str:
    return (answer.errors if answer.status else answer.output).strip()


def _pattern(expected: str) -> re.Pattern[str]:
    """Match the text, with anything for each ellipsis; one that has a line of its own is for whole lines."""
    text = re.escape(expected.strip())
    text = re.sub(r"^…\\\n", r"(?:.*\\n)*?", text, flags=re.MULTILINE)
    return re.compile(text.replace("…", "[^\n]*?"))


def _is_reflected(address: str, symbol: str) -> bool:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    with grpc.insecure_channel(address) as channel:
        [answer] = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=10)
    return bool(answer.file_descriptor_response.file_descriptor_proto)


def test_the_document_s_requests_are_json() -> None:
    for block in blocks(read(DOCUMENT)):
        for data in re.findall(r"-d '([^']*)'", block.text):
            json.loads(data)
