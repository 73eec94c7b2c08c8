"""Checks names and texts of requests. Faults are collected, so that a caller hears of all of them at once."""

import re
from collections.abc import Mapping

from rejoinder_server.errors import InvalidField, Violation
from rejoinder_server.limits import Limits

DEFAULT_NAMESPACE = "default"
MAX_ID_LENGTH = 128
MAX_REASON_LENGTH = 512
MAX_PRIORITY = 100

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_OPERATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_SHOWN = 40


class Faults:
    """The violations found so far."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field is wrong; the description follows the field's path in a sentence."""
        self._found.append((field, description))

    def raise_any(self) -> None:
        """Raise InvalidField with all that was found, if anything was."""
        if self._found:
            (field, description), *others = self._found
            raise InvalidField(field, description, others=others)


def shown(text: str) -> str:
    """Return a caller's text as it may stand in a message: quoted, escaped and cut."""
    quoted = repr(text[:_MOST_SHOWN])
    return quoted if quoted == repr(text) and len(quoted) <= _MOST_SHOWN else f"{quoted[:_MOST_SHOWN]}…"


def namespace(text: str, faults: Faults) -> str:
    """Check a namespace; an empty one is the default."""
    if not text:
        return DEFAULT_NAMESPACE
    if not _NAMESPACE.fullmatch(text):
        faults.add(
            "namespace",
            f"is {shown(text)}; it takes 1 to 63 lower-case letters, digits and inner hyphens",
        )
    return text


def type_name(text: str, faults: Faults, field: str = "type") -> str:
    """Check the name of a type."""
    if not text:
        faults.add(field, "is empty; name the work, for example reports.generate")
    elif len(text) > MAX_ID_LENGTH:
        faults.add(field, f"has {len(text)} characters, the limit is {MAX_ID_LENGTH}")
    elif not _TYPE.fullmatch(text):
        faults.add(field, f"is {shown(text)}; it takes lower-case words with digits, joined by dots and underscores")
    return text


def queue_name(text: str, faults: Faults, field: str = "queue") -> str:
    """Check the name of a queue."""
    if not _QUEUE.fullmatch(text):
        faults.add(field, f"is {shown(text)}; it takes 1 to 63 letters, digits, _ and -")
    return text


def operation_id(text: str, faults: Faults) -> str:
    """Check the name of an operation."""
    if not text:
        faults.add("operation_id", "is empty; name the operation")
    elif not _OPERATION_ID.fullmatch(text):
        faults.add(
            "operation_id",
            f"is {shown(text)}; it takes 1 to 128 letters, digits and . _ ~ -, and begins with a letter or digit",
        )
    return text


def foreign_id(field: str, text: str, faults: Faults) -> str:
    """Check an id that the caller makes and the server only keeps; empty means none."""
    if len(text) > MAX_ID_LENGTH:
        faults.add(field, f"has {len(text)} characters, the limit is {MAX_ID_LENGTH}")
    elif "/" in text or not text.isprintable():
        faults.add(field, f"is {shown(text)}; it takes printable characters but no slashes")
    return text


def sentence(field: str, text: str, faults: Faults, *, most: int = MAX_REASON_LENGTH) -> str:
    """Check a text for people."""
    if len(text) > most:
        faults.add(field, f"has {len(text)} characters, the limit is {most}")
    elif _CONTROL.search(text):
        faults.add(field, f"is {shown(text)}; it takes no control characters, line ends included")
    return text


def labels(given: Mapping[str, str], limits: Limits, faults: Faults) -> dict[str, str]:
    """Check labels."""
    if len(given) > limits.max_labels:
        faults.add("labels", f"has {len(given)} labels, the limit is {limits.max_labels}")
        return {}
    for key, value in sorted(given.items()):
        field = f"labels[{shown(key)}]"
        if not key:
            faults.add("labels", "has an empty key; name the label")
        sentence(field, value, faults, most=limits.max_label_value_length)
        if len(key) > limits.max_label_key_length:
            faults.add(field, f"has a key of {len(key)} characters, the limit is {limits.max_label_key_length}")
        elif _CONTROL.search(key):
            faults.add(field, "has a control character in its key; keys take none")
    return dict(given)


def priority(value: int, faults: Faults) -> int:
    """Check a priority."""
    if abs(value) > MAX_PRIORITY:
        faults.add("priority", f"is {value}; it takes -{MAX_PRIORITY} to {MAX_PRIORITY}, higher runs first")
    return value
