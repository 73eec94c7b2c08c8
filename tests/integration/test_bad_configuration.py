"""Commands that are configured wrongly: one clear line, an exit code, no traceback and no secret."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.ended_commands import Ended, run_command
from tests.support.postgres import PASSWORD, PostgresCluster
from tests.support.processes import Server
from tests.support.rabbitmq import RabbitNode

SECRET = "s3cret"
NOWHERE = f"amqp://guest:{SECRET}@127.0.0.1:1/"
STORE_NOWHERE = f"postgresql://user:{SECRET}@127.0.0.1:1/database"
SECRETS = (SECRET, PASSWORD, PASSWORD.partition(" ")[2].replace(" ", "%20"))


def serve(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run a server that must not come up."""
    ended = run_command("rejoinder-server", "--listen=127.0.0.1:0", *arguments, cwd=folder, environment=environment)
    return checked(ended)


def work(folder: Path, *arguments: str, **environment: str) -> Ended:
    """Run a worker that must not come up."""
    return checked(run_command("rejoinder-worker", *arguments, cwd=folder, environment=environment))


def checked(ended: Ended) -> Ended:
    assert ended.code in {1, 2}, ended
    assert 1 == len(ended.told), ended
    assert "Traceback" not in ended.output, ended
    assert not [secret for secret in SECRETS if secret in ended.output], ended
    assert '"event": "serving"' not in ended.output
    return ended


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--store=mysql://u:s3cret@h/d"], "--store: unknown scheme 'mysql': use sqlite:///PATH or postgresql://…"),
        (["--broker=kafka://u:s3cret@h"], "--broker: unknown scheme 'kafka': use local:// or amqp://…"),
        ([f"--store={STORE_NOWHERE}"], "--store postgresql:// does not go with --broker local://: use sqlite:// with"),
        ([f"--broker={NOWHERE}"], "--store sqlite:// does not go with --broker amqp://"),
        ([f"--store={STORE_NOWHERE}", f"--broker={NOWHERE}", "--handlers=a"], "--handlers is for the embedded worker"),
        (["--store=sqlite://"], "the store's URL must look like sqlite:///relative.db or sqlite:////absolute/file.db"),
        (["--store=sqlite:////proc/absent/r.db"], "cannot write in /proc/absent: No such file or directory"),
        (["--store=sqlite:///file/r.db"], "/file: Not a directory"),
        (["--store=sqlite:///file"], "/file: file is not a database"),
        (["--listen=127.0.0.1"], "--listen: '127.0.0.1' is not HOST:PORT"),
        (["--lease=5x"], "--lease: must be a duration such as 500ms, 30s, 1h30m or 7d (got '5x')"),
        (["--lease=1s"], "--lease must be at least three times --marker-interval"),
        (["--max-attempts=0"], "--max-attempts: Input should be greater than or equal to 1 (got '0')"),
        ([f"--store=postgresql://u:s3c#{SECRET}@h/d", f"--broker={NOWHERE}"], "the store's URL is malformed"),
        ([f"--store={STORE_NOWHERE}", f"--broker={NOWHERE}"], "127.0.0.1:1/database cannot be reached: "),
        (["--handlers=absent_module"], "the embedded worker could not start, see its message above"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_server_that_is_told_nonsense_says_what_and_ends(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "file").write_text("no database, and long enough to be seen as one " * 10)
    ended = serve(tmp_path, *arguments)
    assert told in ended.told[0]


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("REJOINDER_MAX_ATTEMPTS", "many", "REJOINDER_MAX_ATTEMPTS: Input should be a valid integer"),
        ("REJOINDER_SWEEP_INTERVAL", "soon", "REJOINDER_SWEEP_INTERVAL: must be a duration such as 500ms"),
        ("REJOINDER_STORE", f"mysql://u:{SECRET}@h/d", "unknown scheme 'mysql'"),
        ("REJOINDER_BROKER_PREFIX", "a/b", "REJOINDER_BROKER_PREFIX: "),
    ],
)
def test_a_variable_that_is_nonsense_is_named(tmp_path: Path, variable: str, value: str, told: str) -> None:
    assert told in serve(tmp_path, **{variable: value}).told[0]


@pytest.mark.parametrize("command", ["rejoinder-server", "rejoinder-worker", "rejoinder"])
def test_an_unknown_flag_is_named(tmp_path: Path, command: str) -> None:
    ended = run_command(command, "--nonsense", cwd=tmp_path)
    assert (2, 1) == (ended.code, ended.output.count("No such option '--nonsense'.")), ended
    assert "Traceback" not in ended.output


def test_a_port_that_is_in_use_is_named(tmp_path: Path, taken: str) -> None:
    ended = serve(tmp_path, f"--listen={taken}")
    assert f"cannot listen on {taken}: the address is in use or not ours" == ended.told[0]
    assert 1 == len(ended.output.splitlines())


def test_a_metrics_port_that_is_in_use_is_named(tmp_path: Path, taken: str) -> None:
    ended = serve(tmp_path, f"--metrics-listen={taken}")
    assert f"cannot serve metrics on {taken}: Address already in use" == ended.told[0]


def test_a_second_server_on_an_sqlite_file_is_refused(tmp_path: Path) -> None:
    store = f"--store=sqlite:///{tmp_path}/rejoinder.db"
    with Server(store, "--worker-processes=0", log=tmp_path / "log") as first:
        told = [serve(tmp_path, store).told[0], checked(migrate(tmp_path, store)).told[0]]
        assert [f"another server (process {first.pid}) has {tmp_path}/rejoinder.db open"] * 2 == told


def test_a_wrong_postgresql_password_is_told(tmp_path: Path, postgres_cluster: PostgresCluster) -> None:
    url = postgres_cluster.url("postgres", password=SECRET)
    ended = serve(tmp_path, f"--store={url}", f"--broker={NOWHERE}")
    assert 'password authentication failed for user "rejoinder"' in ended.told[0]


def test_an_unknown_database_is_told(tmp_path: Path, postgres_cluster: PostgresCluster) -> None:
    ended = serve(tmp_path, f"--store={postgres_cluster.url('absent')}", f"--broker={NOWHERE}")
    assert ended.told[0].endswith('/absent: database "absent" does not exist')


def test_a_wrong_rabbitmq_password_is_told_by_server_and_worker(
    tmp_path: Path, postgres_url: str, rabbit_node: RabbitNode
) -> None:
    broker = f"--broker={rabbit_node.url('%2f', password=SECRET)}"
    for ended in (serve(tmp_path, f"--store={postgres_url}", broker), work(tmp_path, "rejoinder_worker.echo", broker)):
        assert "refused the credentials: correct user and password in the broker URL." in ended.told[0]


def test_an_unknown_virtual_host_is_told_by_server_and_worker(
    tmp_path: Path, postgres_url: str, rabbit_node: RabbitNode
) -> None:
    broker = f"--broker={rabbit_node.url('absent')}"
    for ended in (serve(tmp_path, f"--store={postgres_url}", broker), work(tmp_path, "rejoinder_worker.echo", broker)):
        assert "virtual host 'absent' refused the virtual host: create it, permit it to the user" in ended.told[0]


HANDLER = "from rejoinder_worker import handler\n"


@pytest.mark.parametrize(
    ("source", "arguments", "told"),
    [
        ("", ["absent"], "cannot import 'absent': No module named 'absent'; is it installed, or in this folder?"),
        ("x = 1", ["wrong"], "there are no handlers in wrong; register some with @rejoinder_worker.handler"),
        ("x = 1", ["wrong:x"], "'wrong:x' must be a rejoinder_worker.Registry, but there is a value of type int"),
        ("1 / 0", ["wrong"], "cannot import 'wrong': ZeroDivisionError: division by zero ("),
        ("\ndef (", ["wrong"], "/wrong.py, line 2)"),
        ("import sys; sys.exit(0)", ["wrong"], "cannot import 'wrong': SystemExit: 0 ("),
        (
            HANDLER + "@handler('a.b')\ndef one(c, r): ...\n@handler('a.b')\ndef two(c, r): ...",
            ["wrong"],
            "two handlers are registered for the type 'a.b': wrong.one and wrong.two",
        ),
        (
            HANDLER + "@handler('a')\ndef one(c, r): ...",
            ["wrong", "--queues=absent"],
            "no handler has the queue absent; they have default",
        ),
        ("", ["wrong", "--threads=0"], "--threads: Input should be greater than or equal to 1 (got '0')"),
        ("", ["wrong", "--broker=kafka://u:s3cret@h"], "the broker refused: The broker URL begins with none of"),
        (
            "",
            ["wrong", "--broker=amqp://u:s3c ret@h:x/"],
            "the broker refused: The broker URL is malformed: write amqp:",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_worker_that_is_told_nonsense_says_what_and_ends(
    tmp_path: Path, source: str, arguments: list[str], told: str
) -> None:
    (tmp_path / "wrong.py").write_text(source)
    ended = work(tmp_path, *arguments, REJOINDER_BROKER=NOWHERE)
    assert told in ended.told[0]


def test_a_worker_without_modules_says_how_to_name_them(tmp_path: Path) -> None:
    ended = run_command("rejoinder-worker", cwd=tmp_path)
    assert (2, True) == (ended.code, "Missing argument 'MODULE[:NAME]...'." in ended.output)


def migrate(folder: Path, *arguments: str) -> Ended:
    return run_command("rejoinder-server", "migrate", *arguments, cwd=folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rejoinder.db"
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    return cluster.new_database(is_migrated=False)


def test_an_empty_store_is_migrated_once(tmp_path: Path, empty_store: str) -> None:
    first, second = (migrate(tmp_path, f"--store={empty_store}") for _ in range(2))
    assert (0, 0) == (first.code, second.code)
    assert "applied 0001_operations" in first.output.splitlines()
    assert "the schema is up to date" == second.output.strip()


def test_a_store_that_is_too_new_is_refused_by_server_and_migrate(
    tmp_path: Path, empty_store: str, request: pytest.FixtureRequest
) -> None:
    migrate(tmp_path, f"--store={empty_store}")
    newer = "INSERT INTO schema_migrations (number, name, min_program) VALUES (9999, '9999_later', 9999)"
    if empty_store.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "rejoinder.db")) as connection, connection:
            connection.execute(newer)
        server = serve(tmp_path, f"--store={empty_store}")
    else:
        cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
        cluster.sql(newer, database=empty_store.rpartition("/")[2])
        server = serve(tmp_path, f"--store={empty_store}", f"--broker={NOWHERE}")
    for ended in (server, checked(migrate(tmp_path, f"--store={empty_store}"))):
        assert "the store's schema needs a program that knows migration 9999" in ended.told[0]
        assert ended.told[0].endswith("run a newer rejoinder-server")


@pytest.mark.parametrize(
    ("store", "told"),
    [
        (f"mysql://u:{SECRET}@h/d", "the store's URL must begin with sqlite:///, postgresql:// or postgres://"),
        (STORE_NOWHERE, "cannot be reached: "),
        ("sqlite:////proc/absent/r.db", "cannot write in /proc/absent"),
    ],
)
def test_migrate_says_what_is_wrong_with_the_store(tmp_path: Path, store: str, told: str) -> None:
    assert told in checked(migrate(tmp_path, f"--store={store}")).told[0]
