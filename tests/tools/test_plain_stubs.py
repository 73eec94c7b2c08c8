"""The contract alone is enough: stubs made from the .proto files, in a Python that has nothing of ours."""

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import ROOT
from tests.support.processes import Server

PROGRAM = Path(__file__).with_name("plain_client.py")
WHAT_IT_NEEDS = ("grpcio", "protobuf", "googleapis-common-protos", "typing-extensions")
"""Three distributions, and the one that grpcio itself requires."""
CONTRACT = ("rejoinder/v1/operation.proto", "rejoinder/v1/operation_service.proto")


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with exactly those distributions."""
    home = tmp_path_factory.mktemp("plain") / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    [packages] = home.glob("lib/python*/site-packages")
    for name in WHAT_IT_NEEDS:
        _link(distribution(name), packages)
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what grpcio-tools makes of the contract."""
    folder = tmp_path_factory.mktemp("stubs")
    common = distribution("googleapis-common-protos").locate_file("")
    well_known = distribution("grpcio-tools").locate_file("grpc_tools/_proto")
    includes = (f"-I{path}" for path in (ROOT / "proto", common, well_known))
    outputs = (f"--python_out={folder}", f"--grpc_python_out={folder}")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *CONTRACT], check=True, timeout=60)
    return folder


@pytest.fixture(scope="module")
def seen(plain_python: Path, stubs: Path, echo_server: Server) -> Any:
    """What the program saw."""
    done = subprocess.run(
        [plain_python, PROGRAM, echo_server.address],
        env={"PYTHONPATH": str(stubs), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def test_the_environment_has_nothing_of_ours_but_the_generated_stubs(seen: Any, stubs: Path) -> None:
    assert [] == seen["ours"]
    assert Path(seen["contract"]).is_relative_to(stubs)


def test_the_environment_has_only_the_distributions_that_are_named(plain_python: Path) -> None:
    program = "from importlib.metadata import distributions; print(*sorted(d.name for d in distributions()))"
    done = subprocess.run([plain_python, "-I", "-c", program], capture_output=True, text=True, check=True, timeout=30)

    assert sorted(_installed_names()) == done.stdout.split()


def test_a_watch_that_is_cut_after_every_transition_resumes_by_cursor_without_a_gap(seen: Any) -> None:
    assert [1, 2, 3] == seen["sequences"]
    assert ["STATE_ACCEPTED", "STATE_RUNNING", "STATE_SUCCEEDED"] == seen["states"]
    assert 3 == seen["cuts"]


def test_the_result_comes_with_the_terminal_transition(seen: Any) -> None:
    assert {"rows": 10} == seen["result"]


def test_a_cursor_at_the_end_is_answered_with_nothing_more(seen: Any) -> None:
    assert 0 == seen["rest"]


def _installed_names() -> Iterator[str]:
    for name in WHAT_IT_NEEDS:
        yield distribution(name).metadata["Name"]


def _link(found: Distribution, packages: Path) -> None:
    """Link every file of a distribution, so that packages of several distributions become one."""
    for file in found.files or ():
        if ".." not in file.parts:
            place = packages / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(Path(str(found.locate_file(file))))
