from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rejoinder_client.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(hours=1, minutes=30)),
        ("250ms", timedelta(milliseconds=250)),
        ("2d", timedelta(days=2)),
        ("0.1s", timedelta(milliseconds=100)),
        ("1.5h", timedelta(minutes=90)),
        ("0", timedelta()),
        (" 7s ", timedelta(seconds=7)),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, expected: timedelta) -> None:
    assert expected == parse_duration(text)


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "1 h", "5x", "1h-3m", "٣s", "1e3s", "nan", "99999999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|too long"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta()))
def test_a_formatted_duration_reads_back_exactly(duration: timedelta) -> None:
    assert duration == parse_duration(format_duration(duration))
