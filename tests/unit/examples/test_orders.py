"""The handler that imports a CSV file of orders."""

import json
import shutil
from pathlib import Path

import pytest

from examples.orders import COLUMNS, ImportRequest, ImportResult, import_orders
from rejoinder.v1.operation_pb2 import Progress
from rejoinder_worker import Cancelled, Context, PermanentError

HEADER = ",".join(COLUMNS)
GOOD = "A-1,2026-01-31,ada@example.com,2,12.50,EUR"
SAMPLE = Path(__file__).parents[3] / "examples" / "data" / "orders.csv"


def csv_file(folder: Path, *lines: str) -> Path:
    path = folder / "orders.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def problems_of(folder: Path, *rows: str) -> list[dict[str, object]]:
    source = csv_file(folder, HEADER, *rows)
    import_orders(Context("op"), ImportRequest(str(source), str(folder / "report.json")))
    problems: list[dict[str, object]] = json.loads((folder / "report.json").read_text())["problems"]
    return problems


def test_good_rows_are_accepted_and_totalled_by_currency(tmp_path: Path) -> None:
    source = csv_file(tmp_path, HEADER, GOOD, GOOD.replace("A-1", "A-2"), "A-3,2026-02-01,b@example.com,1,0.1,USD")
    expected = ImportResult(3, 3, 0, {"EUR": "50.00", "USD": "0.1"}, str(tmp_path / "orders.report.md"))
    assert expected == import_orders(Context("op"), ImportRequest(str(source)))


def test_the_report_is_where_the_result_says(tmp_path: Path) -> None:
    source = csv_file(tmp_path, HEADER, GOOD, GOOD)
    result = import_orders(Context("op"), ImportRequest(str(source)))
    assert "1 of 2 rows accepted, 1 rejected." in Path(result.report_path).read_text()
    assert "| 2 | order_id | came before |" in Path(result.report_path).read_text()
    assert {"orders.csv", "orders.report.md"} == {each.name for each in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("good", "bad", "column"),
    [
        ("A-1", "", "order_id"),
        ("2026-01-31", "2026-02-30", "date"),
        ("ada@example.com", "ada", "email"),
        (",2,", ",0,", "quantity"),
        (",2,", ",two,", "quantity"),
        ("12.50", "NaN", "unit_price"),
        ("12.50", "-1", "unit_price"),
        ("EUR", "euro", "currency"),
    ],
)
def test_a_bad_value_rejects_its_row(tmp_path: Path, good: str, bad: str, column: str) -> None:
    problems = problems_of(tmp_path, GOOD.replace(good, bad))
    assert [(1, column)] == [(each["row"], each["column"]) for each in problems]


def test_a_row_that_is_cut_short_is_rejected(tmp_path: Path) -> None:
    assert ["date"] == [each["column"] for each in problems_of(tmp_path, "A-1")]


def test_the_sample_has_six_bad_rows(tmp_path: Path) -> None:
    source = shutil.copy(SAMPLE, tmp_path)
    result = import_orders(Context("op"), ImportRequest(str(source)))
    assert (60, 54, 6) == (result.rows, result.accepted, result.rejected)


def test_progress_counts_rows(tmp_path: Path) -> None:
    seen: list[Progress] = []
    source = csv_file(tmp_path, HEADER, GOOD, GOOD)
    import_orders(Context("op", on_progress=seen.append), ImportRequest(str(source)))
    assert [(1, 2, "rows"), (2, 2, "rows")] == [(each.completed, each.total, each.unit) for each in seen]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"order_id,date\n", "MISSING_COLUMNS"),
        (b"", "MISSING_COLUMNS"),
        (f"{HEADER}\n".encode() + b"\xff\xfe\n", "NOT_UTF8"),
        (f'{HEADER}\n"open'.encode(), "NOT_CSV"),
    ],
)
def test_a_file_of_another_kind_fails_for_good(tmp_path: Path, content: bytes, reason: str) -> None:
    source = tmp_path / "orders.csv"
    source.write_bytes(content)
    with pytest.raises(PermanentError) as caught:
        import_orders(Context("op"), ImportRequest(str(source)))
    assert reason == caught.value.reason


@pytest.mark.parametrize(
    ("path", "report_path", "reason"),
    [
        ("orders.csv", None, "RELATIVE_PATH"),
        ("{folder}/none.csv", None, "NO_SUCH_FILE"),
        ("{folder}/orders.csv", "{folder}/report.doc", "UNKNOWN_REPORT_FORMAT"),
        ("{folder}/orders.csv", "{folder}/none/report.md", "NO_SUCH_FOLDER"),
    ],
)
def test_a_bad_path_fails_for_good(tmp_path: Path, path: str, report_path: str | None, reason: str) -> None:
    csv_file(tmp_path, HEADER, GOOD)
    request = ImportRequest(
        path.format(folder=tmp_path), None if report_path is None else report_path.format(folder=tmp_path)
    )
    with pytest.raises(PermanentError) as caught:
        import_orders(Context("op"), request)
    assert reason == caught.value.reason


def test_it_stops_when_told_to_and_leaves_no_report(tmp_path: Path) -> None:
    source = csv_file(tmp_path, HEADER, GOOD)
    with pytest.raises(Cancelled):
        import_orders(Context("op", told_to_stop=lambda: True), ImportRequest(str(source)))
    assert ["orders.csv"] == [each.name for each in tmp_path.iterdir()]
