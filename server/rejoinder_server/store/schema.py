"""The schema's versions: numbered migrations, and which programs may run on which of them.

A migration is a file `NNNN_name.sql` in the store's `migrations` folder that begins with a line `-- min_program: N`:
the newest migration that a program must know to run on a store where this one was applied. Migrations that only add
keep the number of the oldest program that still runs beside them; what such programs need is removed later, by a
migration that raises it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from rejoinder_server.store.port import StoreRefused

_HEADER = "-- min_program:"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema.

    Attributes:
        min_program: The newest migration that a program must know to run on a store that has this one.
    """

    number: int
    name: str
    min_program: int
    sql: str


@dataclass(frozen=True, slots=True)
class Applied:
    """A migration as the store remembers it."""

    number: int
    min_program: int


def load(dialect: str) -> list[Migration]:
    """Return the migrations of a store's package, by number."""
    folder = files(f"{__package__}.{dialect}") / "migrations"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [_parse(entry.name, entry.read_text(encoding="utf-8")) for entry in sorted(found, key=lambda e: e.name)]


def missing(applied: Sequence[Applied], known: Sequence[Migration]) -> list[Migration]:
    """Return the migrations that a store still needs.

    Raises:
        StoreRefused: The store has one that needs a newer program.
    """
    program = max(migration.number for migration in known)
    needed = max((one.min_program for one in applied), default=0)
    if needed > program:
        raise StoreRefused(
            f"the store's schema needs a program that knows migration {needed}, and this one knows {program}:"
            " run a newer rejoinder-server"
        )
    numbers = {one.number for one in applied}
    return [migration for migration in known if migration.number not in numbers]


def refuse_behind(migrations: Sequence[Migration]) -> None:
    """Refuse a store that was used before and still needs migrations.

    Raises:
        StoreRefused: There are any.
    """
    if migrations:
        names = ", ".join(migration.name for migration in migrations)
        raise StoreRefused(f"the store's schema is behind this program ({names}): run `rejoinder-server migrate`")


def _parse(file_name: str, text: str) -> Migration:
    name = file_name.removesuffix(".sql")
    header = text.partition("\n")[0]
    if not header.startswith(_HEADER):
        raise ValueError(f"{file_name} does not begin with {_HEADER!r}")
    return Migration(int(name.partition("_")[0]), name, int(header.removeprefix(_HEADER)), text)
