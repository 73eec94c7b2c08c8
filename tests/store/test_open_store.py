import subprocess
import sys

import pytest

from rejoinder_server.store import open_store
from rejoinder_server.store.port import StoreRefused


@pytest.mark.parametrize("url", ["mysql://host/database", "rejoinder.db", "", "SQLITE:///a.db"])
def test_an_unknown_scheme_is_refused_and_the_known_ones_are_named(url: str) -> None:
    with pytest.raises(StoreRefused, match=r"sqlite:///.*postgresql://"):
        open_store(url)


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite://", "sqlite:///", "sqlite://a.db", "sqlite:///:memory:", "sqlite:///a.db?mode=ro"]
)
def test_a_malformed_sqlite_url_is_refused(url: str) -> None:
    with pytest.raises(StoreRefused, match=r"sqlite:///relative\.db"):
        open_store(url)


def test_asyncpg_is_imported_only_for_postgresql() -> None:
    program = (
        "import sys, rejoinder_server.store as store;"
        "store.open_store('sqlite:///a.db');"
        "assert not [name for name in sys.modules if name.startswith('asyncpg')];"
        "store.open_store('postgresql://host/database');"
        "assert 'asyncpg' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_without_asyncpg_postgresql_is_refused_with_what_to_install() -> None:
    program = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from rejoinder_server.store import open_store\n"
        "from rejoinder_server.store.port import StoreRefused\n"
        "try:\n    open_store('postgresql://host/database')\n"
        "except StoreRefused as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert "rejoinder[postgres]" in done.stdout
