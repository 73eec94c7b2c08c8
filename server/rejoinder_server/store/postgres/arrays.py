"""Many rows in one statement: a column is one array argument, and `unnest` makes rows of them again."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rejoinder_server.store.columns import Columns, Kind
from rejoinder_server.store.rows import Row

_ARRAYS: Final = {
    Kind.TEXT: "text[]",
    Kind.INTEGER: "bigint[]",
    Kind.REAL: "float8[]",
    Kind.BYTES: "bytea[]",
    Kind.JSON: "text[]",
}


def unnest(columns: Columns, *, first: int = 1) -> str:
    """Write the `unnest` of these columns, whose arrays are the arguments from the `first` on."""
    arguments = (f"${number}::{_ARRAYS[kind]}" for number, kind in enumerate(columns.values(), first))
    return f"unnest({', '.join(arguments)})"


def values(columns: Columns, *, qualifier: str = "") -> str:
    """Write the values of unnested columns, as the table holds them."""
    return ", ".join(
        f"{qualifier}{name}::jsonb" if kind is Kind.JSON else qualifier + name for name, kind in columns.items()
    )


def transposed(rows: Iterable[Row], columns: Columns) -> Sequence[Sequence[Any]]:
    """Return rows as one list for each column; without rows, empty lists."""
    return list(zip(*rows, strict=True)) or [()] * len(columns)
