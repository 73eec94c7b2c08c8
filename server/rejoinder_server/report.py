"""What a worker may report about an attempt; workers check the same, so that a handler hears of it first."""

import json

from rejoinder.worker.v1.worker_pb2 import Failure, ProgressReport, Release, Success

MAX_UNIT_LENGTH = 32
MAX_MESSAGE_LENGTH = 512
MAX_ERROR_BYTES = 64 * 1024


class InvalidReport(Exception):
    """A report says what an operation cannot hold; the text names the field and the limit."""


def check(report: ProgressReport | Success | Failure | Release, max_result_bytes: int) -> None:
    """Check a report's content.

    Raises:
        InvalidReport: It cannot be recorded.
    """
    match report:
        case ProgressReport():
            _check_progress(report)
        case Success():
            _check_result(report, max_result_bytes)
        case Failure():
            if report.error.ByteSize() > MAX_ERROR_BYTES:
                raise InvalidReport(f"error has {report.error.ByteSize()} bytes, the limit is {MAX_ERROR_BYTES}")
            if report.error.code == 0:
                raise InvalidReport("error.code is 0, which means success")


def _check_progress(report: ProgressReport) -> None:
    progress = report.progress
    if progress.completed < 0 or progress.total < 0:
        raise InvalidReport("progress.completed and progress.total must not be negative")
    for name, text, limit in (
        ("unit", progress.unit, MAX_UNIT_LENGTH),
        ("message", progress.message, MAX_MESSAGE_LENGTH),
    ):
        if len(text) > limit:
            raise InvalidReport(f"progress.{name} has {len(text)} characters, the limit is {limit}")
        if not text.isprintable():
            raise InvalidReport(f"progress.{name} has a control character")


def _check_result(report: Success, max_result_bytes: int) -> None:
    body = report.result.WhichOneof("body")
    if body not in ("json", "data"):
        raise InvalidReport("result must be json or data")
    size = len(report.result.data) if body == "data" else len(report.result.json.encode())
    if size > max_result_bytes:
        raise InvalidReport(f"result has {size} bytes, the limit is {max_result_bytes}")
    if body == "json":
        try:
            json.loads(report.result.json, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise InvalidReport("result.json is not valid JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
