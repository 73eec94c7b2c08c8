"""Imports a CSV file of orders and writes a report: the result is small and says where the large part lies."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from rejoinder_worker import Context, PermanentError, handler

COLUMNS = ("order_id", "date", "email", "quantity", "unit_price", "currency")
MOST_PROBLEMS = 1000

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import.

    Attributes:
        path: CSV file in UTF-8 whose first row names the columns.
        report_path: Where to write the report, JSON or Markdown by its end; beside the CSV file when absent.
    """

    path: str
    report_path: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row is rejected; rows count from 1, without the header."""

    row: int
    column: str
    problem: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What became of the rows.

    Attributes:
        rows: Rows in all.
        accepted: Rows without a problem.
        rejected: Rows with one.
        totals: Quantity times price of the accepted rows by currency, as decimal text.
        report_path: Where the report is, with a problem for each rejected row.
    """

    rows: int
    accepted: int
    rejected: int
    totals: dict[str, str]
    report_path: str


@handler("orders.import", queue="examples", attempt_timeout=timedelta(minutes=10))
def import_orders(context: Context, request: ImportRequest) -> ImportResult:
    """Imports a CSV file of orders and writes a report."""
    source = Path(request.path)
    report = Path(request.report_path) if request.report_path else source.with_suffix(".report.md")
    _check_paths(source, report)
    try:
        rows, totals, problems = _read(source, context)
    except UnicodeDecodeError as error:
        raise PermanentError(f"{source} is not UTF-8: {error.reason} at byte {error.start}", "NOT_UTF8") from error
    except csv.Error as error:
        raise PermanentError(f"{source} is no CSV file: {error}", "NOT_CSV") from error
    result = ImportResult(
        rows=rows,
        accepted=rows - len(problems),
        rejected=len(problems),
        totals={currency: str(total) for currency, total in sorted(totals.items())},
        report_path=str(report),
    )
    text = _as_json(result, problems) if report.suffix == ".json" else _as_markdown(result, problems)
    _write_whole(report, text, part=context.operation_id)
    return result


def _check_paths(source: Path, report: Path) -> None:
    for path in (source, report):
        if not path.is_absolute():
            raise PermanentError(
                f"{path} is relative, and the worker runs elsewhere; give a whole path", "RELATIVE_PATH"
            )
    if not source.is_file():
        raise PermanentError(f"{source} is no file on the worker's machine", "NO_SUCH_FILE")
    if report.suffix not in {".json", ".md"}:
        raise PermanentError(f"{report} must end in .json or .md", "UNKNOWN_REPORT_FORMAT")
    if not report.parent.is_dir():
        raise PermanentError(f"{report.parent} is no folder on the worker's machine", "NO_SUCH_FOLDER")


def _read(source: Path, context: Context) -> tuple[int, dict[str, Decimal], list[Problem]]:
    total_rows = sum(1 for _ in _rows(source))
    seen: set[str] = set()
    totals: dict[str, Decimal] = {}
    problems: list[Problem] = []
    for number, row in enumerate(_rows(source), start=1):
        context.raise_if_cancelled()
        problem = _problem_of(number, row, seen)
        if problem is not None:
            problems.append(problem)
        else:
            seen.add(row["order_id"])
            amount = int(row["quantity"]) * Decimal(row["unit_price"])
            totals[row["currency"]] = totals.get(row["currency"], Decimal(0)) + amount
        context.progress(number, total=total_rows, unit="rows", message=f"{len(problems)} rejected")
    return total_rows, totals, problems


def _rows(source: Path) -> Iterator[dict[str, str]]:
    with source.open(encoding="utf-8-sig", newline="") as content:
        reader = csv.DictReader(content, restval="", strict=True)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise PermanentError(f"{source} lacks the columns {', '.join(missing)}", "MISSING_COLUMNS")
        yield from reader


def _problem_of(number: int, row: Mapping[str, str], seen: set[str]) -> Problem | None:
    checks = {
        "order_id": "is empty" if not row["order_id"] else "came before" if row["order_id"] in seen else "",
        "date": "" if _is_date(row["date"]) else "is no date like 2026-01-31",
        "email": "" if _EMAIL.fullmatch(row["email"]) else "is no address",
        "quantity": "" if _is_positive(row["quantity"]) else "is no whole number above 0",
        "unit_price": "" if _is_price(row["unit_price"]) else "is no amount like 12.50",
        "currency": "" if _CURRENCY.fullmatch(row["currency"]) else "is no code like EUR",
    }
    return next((Problem(number, column, problem) for column, problem in checks.items() if problem), None)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


def _is_price(text: str) -> bool:
    try:
        price = Decimal(text)
    except InvalidOperation:
        return False
    return price.is_finite() and 0 <= price < 10**9


def _as_json(result: ImportResult, problems: list[Problem]) -> str:
    listed = [asdict(problem) for problem in problems[:MOST_PROBLEMS]]
    return json.dumps({**asdict(result), "problems": listed}, indent=2) + "\n"


def _as_markdown(result: ImportResult, problems: list[Problem]) -> str:
    lines = [
        "# Import of orders",
        "",
        f"{result.accepted} of {result.rows} rows accepted, {result.rejected} rejected.",
        "",
        *(f"- {currency}: {total}" for currency, total in result.totals.items()),
    ]
    if problems:
        lines += ["", "| row | column | problem |", "|---|---|---|"]
        lines += [f"| {each.row} | {each.column} | {each.problem} |" for each in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines += ["", f"… and {len(problems) - MOST_PROBLEMS} more."]
    return "\n".join(lines) + "\n"


def _write_whole(report: Path, text: str, *, part: str) -> None:
    # A crash leaves an older report or none, never half of one; the next attempt writes the same part again.
    partial = report.with_name(f".{report.name}.{part}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(report)
