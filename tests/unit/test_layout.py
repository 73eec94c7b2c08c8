"""The rules about who may import what, which keep the parts apart.

    contract <- broker <- worker
    contract, broker <- server
    contract <- client

The worker runs without gRPC, without a database driver and without a store's credentials; whoever reads the rules below
can tell which package to look into for SQL, AMQP and gRPC.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "rejoinder": ROOT / "proto" / "rejoinder",
    "rejoinder_broker": ROOT / "workers" / "rejoinder_broker",
    "rejoinder_worker": ROOT / "workers" / "rejoinder_worker",
    "rejoinder_server": ROOT / "server" / "rejoinder_server",
    "rejoinder_client": ROOT / "clients" / "python" / "rejoinder_client",
}
MAY_IMPORT = {
    "rejoinder": set(),
    "rejoinder_broker": {"rejoinder"},
    "rejoinder_worker": {"rejoinder", "rejoinder_broker"},
    "rejoinder_server": {"rejoinder", "rejoinder_broker"},
    "rejoinder_client": {"rejoinder"},
}
GRPC = {"grpc", "grpc_health", "grpc_reflection", "grpc_status", "rejoinder.v1.operation_service_pb2_grpc"}
# Where the server may know gRPC: its services and what stands around them, and the one place that wires objects.
SERVER_GRPC = ("service", "health", "convert", "interceptor", "app")
SQL = {"sqlite3", "asyncpg"}
AMQP = {"pika"}


def modules_of(package: str) -> Iterator[tuple[str, Path]]:
    folder = PACKAGES[package]
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(folder).with_suffix("").parts
        yield ".".join((package, *(part for part in place if part != "__init__"))), path


MODULES = [module for package in PACKAGES for module in modules_of(package)]
WRITTEN = [(name, path) for name, path in MODULES if "_pb2" not in name]


def imports_of(module: str, path: Path) -> set[str]:
    """Name every module that the code imports, at the top or within functions, and what it takes from it."""
    found: set[str] = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            found.update(f"{source}.{alias.name}" for alias in node.names)
    return found


def is_within(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def importers_of(libraries: set[str], *, among: list[tuple[str, Path]]) -> set[str]:
    return {module for module, path in among if any(is_within(name, libraries) for name in imports_of(module, path))}


def test_each_package_is_found() -> None:
    assert [] == [package for package in PACKAGES if not list(modules_of(package))]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_the_packages_it_stands_on(package: str) -> None:
    others = set(PACKAGES) - MAY_IMPORT[package] - {package}
    expected: set[str] = set()
    assert expected == importers_of(others, among=list(modules_of(package)))


def test_only_the_stores_know_sql() -> None:
    outside = {name for name in importers_of(SQL, among=MODULES) if not name.startswith("rejoinder_server.store.")}
    expected: set[str] = set()
    assert expected == outside


def test_only_the_broker_package_knows_amqp() -> None:
    outside = {name for name in importers_of(AMQP, among=MODULES) if not is_within(name, {"rejoinder_broker"})}
    expected: set[str] = set()
    assert expected == outside


def test_only_a_few_modules_of_the_server_know_grpc() -> None:
    allowed = {f"rejoinder_server.{name}" for name in SERVER_GRPC}
    server = list(modules_of("rejoinder_server"))
    outside = {name for name in importers_of(GRPC, among=server) if not is_within(name, allowed)}
    expected: set[str] = set()
    assert expected == outside


@pytest.mark.parametrize("package", ["rejoinder_broker", "rejoinder_worker"])
def test_what_runs_in_workers_knows_no_grpc(package: str) -> None:
    expected: set[str] = set()
    assert expected == importers_of(GRPC, among=list(modules_of(package)))


def test_a_worker_loads_neither_server_nor_grpc_nor_a_database_driver() -> None:
    names = [name for name, _ in WRITTEN if is_within(name, {"rejoinder_broker", "rejoinder_worker"})]
    program = "import importlib, sys\n" + "".join(
        f"importlib.import_module({name!r})\n" for name in names if not name.endswith("__main__")
    )
    program += "print(*sorted({'grpc', 'rejoinder_server', 'asyncpg', 'sqlite3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert [] == done.stdout.split()


def reads_of_the_environment(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of the module's own level, class bodies included, that read the environment."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            # Its body runs later; decorators and defaults run now.
            for part in [*getattr(node, "decorator_list", []), *node.args.defaults, *node.args.kw_defaults]:
                yield from reads_of_the_environment(ast.Expr(part)) if part is not None else ()
        elif (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}) or (
            isinstance(node, ast.Name) and node.id in {"environ", "getenv"}
        ):
            yield node.lineno
        else:
            yield from reads_of_the_environment(node)


def test_nothing_reads_the_environment_when_imported() -> None:
    readers = [
        f"{module}:{line}" for module, path in WRITTEN for line in reads_of_the_environment(ast.parse(path.read_text()))
    ]
    assert [] == readers


@pytest.mark.parametrize("folder", ["proto", "server", "workers", "clients", "clients/python"])
def test_a_folder_of_packages_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()
