"""Views that turn themselves into what JSON can hold."""

import base64
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from rejoinder_client.duration import format_duration


class View:
    """A frozen value that people print."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-safe view: times as RFC 3339 in UTC, durations as `90s`, bytes as base64."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """Return a value's JSON-safe form; what JSON holds already is returned as it is."""
    if isinstance(value, View):
        return value.to_dict()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    match value:
        case StrEnum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return format_duration(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case _:
            return value
