"""Durations as people write them: `30s`, `5m`, `1h30m`, `250ms`."""

import re
from datetime import timedelta
from decimal import Decimal

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_WHOLE = re.compile(rf"(?:{_PART})+", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text like `1h30m` means.

    Args:
        text: Numbers, each with one of the units ms, s, m, h, d; `0` alone needs none.

    Raises:
        ValueError: It is none, or longer than timedelta can hold.
    """
    stripped = text.strip()
    if stripped == "0":
        return timedelta()
    if not _WHOLE.fullmatch(stripped):
        raise ValueError(f"{text!r} is no duration; write it like 30s, 5m, 1h30m or 250ms")
    try:
        # Decimal, because floats would turn 0.1s into something else.
        return sum(
            (
                int(Decimal(number) * (_UNITS[unit] // _MICROSECOND)) * _MICROSECOND
                for number, unit in re.findall(_PART, stripped)
            ),
            timedelta(),
        )
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long") from error


def format_duration(duration: timedelta) -> str:
    """Return a duration in seconds, exact to the microsecond, as `parse_duration` and protobuf's JSON take it."""
    total = duration // _MICROSECOND
    sign, total = ("-", -total) if total < 0 else ("", total)
    whole, fraction = divmod(total, 1_000_000)
    return f"{sign}{whole}.{fraction:06d}".rstrip("0").rstrip(".") + "s"
