"""The handler that counts a directory tree."""

from pathlib import Path

import pytest

from examples.tree import NO_KIND, OTHER_KINDS, CountRequest, CountResult, KindCount, count_tree, printable
from rejoinder.v1.operation_pb2 import Progress
from rejoinder_worker import Cancelled, Context, PermanentError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "a.py").write_bytes(b"one\ntwo\n")
    (tmp_path / "sub" / "B.PY").write_bytes(b"no end of line")
    (tmp_path / "sub" / "notes.txt").write_bytes(b"\n\n\n")
    (tmp_path / "Makefile").write_bytes(b"")
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    return tmp_path


def test_every_file_is_counted_once_and_by_kind(tree: Path) -> None:
    expected = CountResult(
        files=4,
        lines=5,
        bytes=25,
        kinds=[KindCount(".py", 2, 2, 22), KindCount(".txt", 1, 3, 3), KindCount(NO_KIND, 1, 0, 0)],
        unreadable=0,
    )
    assert expected == count_tree(Context("op"), CountRequest([str(tree)]))


def test_a_folder_is_left_out_with_everything_below(tree: Path) -> None:
    request = CountRequest([str(tree)], leave_out=[str(tree / "sub"), "/no/such/folder"])
    expected = [KindCount(".py", 1, 2, 8), KindCount(NO_KIND, 1, 0, 0)]
    assert expected == count_tree(Context("op"), request).kinds


def test_kinds_beyond_the_limit_are_added_up(tree: Path) -> None:
    result = count_tree(Context("op"), CountRequest([str(tree)], most_kinds=1))
    assert [KindCount(".py", 2, 2, 22), KindCount(OTHER_KINDS, 2, 3, 3)] == result.kinds
    assert 4 == result.files


def test_progress_counts_files_up_to_their_number(tree: Path) -> None:
    seen: list[Progress] = []
    count_tree(Context("op", on_progress=seen.append), CountRequest([str(tree)]))
    assert [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)] == [(each.completed, each.total) for each in seen]
    assert {"files"} == {each.unit for each in seen}


def test_a_file_that_cannot_be_read_is_counted_as_such(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refuse(path: Path, mode: str) -> object:
        if path.name == "notes.txt":
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", refuse)
    result = count_tree(Context("op"), CountRequest([str(tree)]))
    assert (3, 1) == (result.files, result.unreadable)


def test_names_of_any_bytes_are_shown_printably() -> None:
    assert "caf? ?[1m" == printable("caf\udce9 \x1b[1m")


@pytest.mark.parametrize(
    ("path", "reason"), [("relative/path", "RELATIVE_PATH"), ("/no/such/folder", "NO_SUCH_FOLDER")]
)
def test_a_bad_path_fails_for_good(path: str, reason: str) -> None:
    with pytest.raises(PermanentError) as caught:
        count_tree(Context("op"), CountRequest([path]))
    assert reason == caught.value.reason


def test_it_stops_when_told_to(tree: Path) -> None:
    with pytest.raises(Cancelled):
        count_tree(Context("op", told_to_stop=lambda: True), CountRequest([str(tree)]))


def test_a_senseless_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="most_kinds must be from 1 to 1000, not 0"):
        CountRequest(["/"], most_kinds=0)
