"""What a worker process has around it when its handlers run: no server, no gRPC, no store."""

import json
from pathlib import Path
from typing import Any

import psutil

from rejoinder.v1.operation_service_pb2 import ListTypesRequest
from tests.integration.conftest import Target
from tests.support.processes import Server, Worker
from tests.support.raw_calls import RawCaller, raw_caller
from tests.support.waiting import eventually_sync

HANDLERS = "tests.support.telling_handlers"
TYPE = "telling.surroundings"
FOREIGN = ("rejoinder_server", "rejoinder_client", "grpc", "asyncpg", "sqlite3", "_sqlite3")
LIBRARIES = ("cygrpc", "asyncpg", "_sqlite3", "libsqlite3")


def told(caller: RawCaller) -> dict[str, Any]:
    finished = caller.finished(caller.submit(TYPE))
    surroundings: dict[str, Any] = json.loads(finished.result.json)
    return surroundings


def assert_alone(surroundings: dict[str, Any]) -> None:
    loaded = {name.partition(".")[0] for name in surroundings["modules"]}
    assert set() == loaded & set(FOREIGN)
    assert [] == [path for path in surroundings["libraries"] if any(name in path for name in LIBRARIES)]
    assert "rejoinder_worker" in loaded


def test_a_worker_on_rabbitmq_has_neither_server_nor_grpc_nor_store(target: Target, tmp_path: Path) -> None:
    worker = Worker(HANDLERS, f"--broker={target.broker_url}", "--processes=1", log=tmp_path / "log")
    with worker:
        eventually_sync(lambda: any(TYPE == known.name for known in types(target)), timeout=40)
        surroundings = told(target.caller)
        assert_alone(surroundings)
        everywhere = [*surroundings["variables"], *surroundings["arguments"], *surroundings["parents_arguments"]]
        assert [] == [text for text in everywhere if "postgresql" in text]
        supervisor = Path(f"/proc/{worker.pid}/maps").read_text()
        assert [] == [name for name in LIBRARIES if name in supervisor]
        assert 0 == worker.terminate()


def types(target: Target) -> Any:
    return target.caller.stub.ListTypes(ListTypesRequest()).types


def test_an_embedded_worker_sees_nothing_of_its_servers_store(tmp_path: Path) -> None:
    variables = {"REJOINDER_STORE": f"sqlite:///{tmp_path}/store/rejoinder.db", "REJOINDER_HANDLERS": HANDLERS}
    (tmp_path / "store").mkdir()
    with (
        Server("--worker-processes=1", log=tmp_path / "log", environment=variables) as server,
        raw_caller(server.address) as caller,
    ):
        surroundings = told(caller)
        assert_alone(surroundings)
        everywhere = [*surroundings["variables"], *surroundings["arguments"], *surroundings["parents_arguments"]]
        assert [] == [text for text in everywhere if "REJOINDER_" in text or "sqlite" in text]
        children = psutil.Process(server.pid).children(recursive=True)
        held = [file.path for child in children for file in child.open_files()]
        assert [] == [path for path in held if path.startswith(f"{tmp_path}/store")]
