import base64
from zlib import crc32

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rejoinder_server.cursor import (
    Cursor,
    PageToken,
    decode,
    decode_for,
    decode_page_token,
    encode,
    encode_page_token,
)
from rejoinder_server.errors import InvalidField
from rejoinder_server.operation import Key

names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40)
counts = st.integers(1, 2**63 - 1)
cursors = st.builds(Cursor, names, names, names, counts, names, counts)
tokens = st.builds(PageToken, st.integers(0, 2**63 - 1), names, names)

CURSOR = Cursor("default", "report-7", "9f2c", 3, "00ff00ff00ff00ff", 12)


def forged(content: str, kind: str = "c1") -> str:
    """Make a text with a right checksum around any content."""
    data = content.encode()
    return kind + base64.urlsafe_b64encode(crc32(data).to_bytes(4, "big") + data).decode().rstrip("=")


@given(cursors)
def test_a_cursor_survives_its_text(cursor: Cursor) -> None:
    text = encode(cursor)
    # The longest names that are accepted stay below the limit too; these are longer in bytes.
    assume(len(text) <= 1024)
    assert cursor == decode(text)


@given(cursors)
def test_a_cursor_is_url_safe(cursor: Cursor) -> None:
    assert set(encode(cursor)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_the_longest_cursor_is_accepted() -> None:
    longest = Cursor("n" * 63, "o" * 128, "u" * 32, 2**63 - 1, "f" * 16, 2**63 - 1)
    assert longest == decode(encode(longest))


@given(st.text(max_size=1100))
def test_any_other_text_is_a_malformed_cursor(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode(text)
    assert ("MALFORMED_CURSOR", "cursor") == (caught.value.reason, caught.value.violations[0][0])


@given(cursors, st.data())
def test_a_cursor_with_one_other_character_is_malformed(cursor: Cursor, data: st.DataObject) -> None:
    text = encode(cursor)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_=+/ \n%é"))
    assume(text[place] != other)
    with pytest.raises(InvalidField):
        decode(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c1",
        "c2" + encode(CURSOR)[2:],
        encode(CURSOR) + "=",
        encode(CURSOR)[:-1],
        encode(CURSOR) + "\n",
        encode_page_token(PageToken(1, "report-7", "d")),
        forged("default\nreport-7\n9f2c\n3\n00ff"),
        forged("default\nreport-7\n9f2c\n3\n00ff\n12\n1"),
        forged("default\nreport-7\n9f2c\nthree\n00ff\n12"),
        forged("default\nreport-7\n9f2c\n03\n00ff\n12"),
        forged("default\nreport-7\n9f2c\n\u0663\n00ff\n12"),
        forged("default\nreport-7\n9f2c\n-3\n00ff\n12"),
        forged(f"default\nreport-7\n9f2c\n{2**63}\n00ff\n12"),
        forged("default\n" + "o" * 1000 + "\n9f2c\n3\n00ff\n12"),
    ],
)
def test_a_damaged_cursor_is_malformed(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode(text)
    assert "MALFORMED_CURSOR" == caught.value.reason


def test_a_cursor_is_read_for_its_own_operation() -> None:
    assert CURSOR == decode_for(Key("default", "report-7"), encode(CURSOR))


@pytest.mark.parametrize("key", [Key("default", "report-8"), Key("other", "report-7")])
def test_another_operations_cursor_is_refused(key: Key) -> None:
    with pytest.raises(InvalidField) as caught:
        decode_for(key, encode(CURSOR))
    assert ("FOREIGN_CURSOR", "cursor") == (caught.value.reason, caught.value.violations[0][0])


@given(tokens)
def test_a_page_token_survives_its_text(token: PageToken) -> None:
    assert token == decode_page_token(encode_page_token(token), query_digest=token.query_digest)


def test_a_page_token_of_another_query_is_refused() -> None:
    text = encode_page_token(PageToken(1, "report-7", "one"))
    with pytest.raises(InvalidField) as caught:
        decode_page_token(text, query_digest="two")
    assert ("PAGE_TOKEN_MISMATCH", "page_token") == (caught.value.reason, caught.value.violations[0][0])


@given(st.text(max_size=200))
def test_any_other_text_is_a_malformed_page_token(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode_page_token(text, query_digest="")
    assert ("MALFORMED_PAGE_TOKEN", "page_token") == (caught.value.reason, caught.value.violations[0][0])
