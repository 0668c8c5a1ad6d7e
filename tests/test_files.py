import errno
import os
import threading
from pathlib import Path

import pytest

from noisedash.errors import StorageError
from noisedash.files import exclusive, file_written_aside, remove_asides, storage_error, written_aside


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with written_aside(tmp_path / "out") as aside:
        (aside / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "1"


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="ours"):
        fail_to_write(tmp_path / "out", KeyError("ours"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"The disk that holds .*out is full: free some of it"):
        fail_to_write(tmp_path / "out", OSError(errno.ENOSPC, "from the system"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_appears_whole_and_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(str(Path(f"/proc/self/fd/{number}").readlink())))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "out").write_text("old")
    with file_written_aside(tmp_path / "deep" / "out") as aside:
        aside.write_text("new")
        assert (tmp_path / "deep" / "out").read_text() == "old"
    assert (tmp_path / "deep" / "out").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert synced == [str(aside), str(tmp_path / "deep")], "first the content, then the name"


@pytest.mark.parametrize("failure", [KeyError("ours"), OSError(errno.ENOSPC, "from the system")])
def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path, failure: Exception) -> None:
    (tmp_path / "out").write_text("old")

    def write() -> None:
        with file_written_aside(tmp_path / "out") as aside:
            aside.write_text("half")
            raise failure

    with pytest.raises(StorageError if isinstance(failure, OSError) else KeyError):
        write()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"out": "old"}


def fail_to_write(out: Path, failure: Exception) -> None:
    with written_aside(out) as aside:
        (aside / "a").write_text("1")
        raise failure


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "must not be written by this user"),
        (errno.EACCES, "must not be written by this user"),
        (errno.EIO, "cannot be written (from the system)"),
    ],
)
def test_what_the_system_refuses_is_told(code: int, message: str) -> None:
    assert message in str(storage_error(OSError(code, "from the system"), Path("here")))


def test_only_what_belongs_to_the_folder_is_cleared(tmp_path: Path) -> None:
    for name in (".aside-out-01234567", ".aside-outer-01234567", ".aside-out-bad-01234567", "out-01234567"):
        (tmp_path / name).mkdir()
    remove_asides(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {
        ".aside-outer-01234567",
        ".aside-out-bad-01234567",
        "out-01234567",
    }


def test_one_at_a_time(tmp_path: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with exclusive(tmp_path / "lock"):
            entered.set()

    with exclusive(tmp_path / "lock"):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()
