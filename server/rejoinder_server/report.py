"""What workers may report; they check the same themselves, so that the author of a handler hears of it first."""

import json

from rejoinder.worker.v1.worker_pb2 import Announcement, Event, Failure, ProgressReport, Release, Success
from rejoinder_server import check_fields, check_times
from rejoinder_server.check_fields import Faults, shown
from rejoinder_server.errors import InvalidField
from rejoinder_server.limits import Limits

MAX_UNIT_LENGTH = 32
MAX_MESSAGE_LENGTH = 512
MAX_ERROR_BYTES = 64 * 1024
MAX_DESCRIPTION_LENGTH = 1024

# A handler's defaults have the bounds of what a caller gives in their place.
_LIMITS = Limits()


class InvalidReport(Exception):
    """A report says what cannot be stored; the text names the field and the limit."""


def check(report: ProgressReport | Success | Failure | Release, max_result_bytes: int) -> None:
    """Check what is reported about an attempt.

    Raises:
        InvalidReport: It cannot be recorded.
    """
    faults = Faults()
    match report:
        case ProgressReport():
            _check_progress(report, faults)
        case Success():
            _check_result(report, faults, most_bytes=max_result_bytes)
        case Failure():
            _check_failure(report, faults)
    _raise_any(faults)


def check_announcement(announcement: Announcement) -> None:
    """Check the types that a process announces, which every later submit of them relies on.

    Raises:
        InvalidReport: One of them cannot be recorded.
    """
    for announced in announcement.types:
        faults = Faults()
        check_fields.type_name(announced.name, faults, "name")
        check_fields.queue_name(announced.queue, faults)
        check_fields.sentence("description", announced.description, faults, most=MAX_DESCRIPTION_LENGTH)
        check_times.timeouts(announced.timeouts, _LIMITS, faults)
        check_times.retry_policy(announced.retry_policy, _LIMITS, faults)
        _raise_any(faults, f"the announcement of type {shown(announced.name)}: ")


def check_heartbeat(event: Event) -> None:
    """Check the names in a process's heartbeat.

    Raises:
        InvalidReport: It cannot be recorded.
    """
    faults = Faults()
    for field, name in (("worker", event.worker), ("connection_id", event.heartbeat.connection_id)):
        if not check_fields.foreign_id(field, name, faults):
            faults.add(field, "is empty; name it")
    for name in event.heartbeat.types:
        check_fields.type_name(name, faults, "types")
    _raise_any(faults)


def _check_progress(report: ProgressReport, faults: Faults) -> None:
    progress = report.progress
    for name, count in (("completed", progress.completed), ("total", progress.total)):
        if count < 0:
            faults.add(f"progress.{name}", f"is {count}; it must not be negative")
    check_fields.sentence("progress.unit", progress.unit, faults, most=MAX_UNIT_LENGTH)
    check_fields.sentence("progress.message", progress.message, faults, most=MAX_MESSAGE_LENGTH)


def _check_failure(report: Failure, faults: Faults) -> None:
    size = report.error.ByteSize()
    if size > MAX_ERROR_BYTES:
        faults.add("error", f"has {size} bytes, the limit is {MAX_ERROR_BYTES}")
    if report.error.code == 0:
        faults.add("error.code", "is 0, which means success")
    if report.HasField("retry_delay"):
        check_times.span(report.retry_delay, "retry_delay", faults, most=_LIMITS.max_timeout)


def _check_result(report: Success, faults: Faults, *, most_bytes: int) -> None:
    body = report.result.WhichOneof("body")
    if body not in ("json", "data"):
        faults.add("result", "is neither json nor data")
        return
    size = len(report.result.data) if body == "data" else len(report.result.json.encode())
    if size > most_bytes:
        faults.add("result", f"has {size} bytes, the limit is {most_bytes}")
    elif body == "json" and not _is_json(report.result.json):
        faults.add("result.json", "is not valid JSON")


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _raise_any(faults: Faults, subject: str = "") -> None:
    try:
        faults.raise_any()
    except InvalidField as error:
        raise InvalidReport(f"{subject}{error.message}") from error
