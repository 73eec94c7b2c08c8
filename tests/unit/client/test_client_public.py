import inspect
import subprocess
import sys
from typing import Any

import pytest

import rejoinder_client
from rejoinder_client import AsyncClient, AsyncHandle, Client, Handle


def test_all_names_exactly_what_the_package_offers() -> None:
    offered = {
        name
        for name, value in vars(rejoinder_client).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert offered == set(rejoinder_client.__all__)
    assert sorted(rejoinder_client.__all__) == sorted(set(rejoinder_client.__all__))


def test_importing_the_sdk_imports_neither_click_nor_rich() -> None:
    program = "import sys, rejoinder_client; print({'click', 'rich', 'grpc_status'} & set(sys.modules))"
    assert (
        "set()\n" == subprocess.run([sys.executable, "-c", program], check=True, text=True, capture_output=True).stdout
    )


@pytest.mark.parametrize(("face", "twin"), [(Client, AsyncClient), (Handle, AsyncHandle)])
def test_both_faces_have_the_same_names_and_arguments(face: Any, twin: Any) -> None:
    def arguments(cls: Any) -> dict[str, Any]:
        return {
            name: [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]
            for name, function in inspect.getmembers(cls, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert arguments(face) == arguments(twin)
