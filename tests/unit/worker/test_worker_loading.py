"""Which handlers a worker serves."""

from pathlib import Path

import pytest

from rejoinder_worker.errors import LoadError, RegistrationError
from rejoinder_worker.loading import load

SOURCE = """
import dramatiq
from rejoinder_worker import Registry

first, second = Registry(), Registry()
first.middleware(dramatiq.Middleware())

@first.handler("mail.send", queue="mail")
def send(context, request: dict) -> None: ...

@first.handler("reports.generate", queue="reports")
def generate(context, request: dict) -> None: ...

@second.handler("mail.send", queue="mail")
def other(context, request: dict) -> None: ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"own_{abs(hash(request.node.name))}"  # imported modules stay for the whole session
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_named_registry_is_served_with_its_middleware(module: str) -> None:
    loaded = load([f"{module}:first"])
    assert ["mail.send", "reports.generate"] == [handler.type for handler in loaded.handlers]
    assert 1 == len(loaded.middleware)


def test_queues_choose_among_the_handlers(module: str) -> None:
    assert ["mail.send"] == [handler.type for handler in load([f"{module}:first"], queues=["mail"]).handlers]


def test_an_unknown_queue_is_refused_with_those_that_there_are(module: str) -> None:
    with pytest.raises(LoadError, match="no handler has the queue post; they have mail, reports"):
        load([f"{module}:first"], queues=["mail", "post"])


def test_registries_that_contradict_each_other_are_refused(module: str) -> None:
    with pytest.raises(RegistrationError, match=f"type 'mail.send': {module}.send and {module}.other"):
        load([f"{module}:first", f"{module}:second"])


def test_a_module_named_twice_is_served_once(module: str) -> None:
    assert 2 == len(load([f"{module}:first", f"{module}:first"]).handlers)


def test_a_plain_module_brings_what_its_decorators_registered() -> None:
    assert "rejoinder.echo" in [handler.type for handler in load(["rejoinder_worker.echo"]).handlers]
