# SPDX-License-Identifier: GPL-2.0-only
"""Files are written completely or not at all."""

import errno
import os
import resource
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from fuzz import files
from fuzz.files import OutputFile, write_atomically, write_together

from .console import ROOT


def test_text_and_bytes(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "ü\n")
    write_atomically(tmp_path / "b", b"\r\n\xff")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"\xc3\xbc\n", b"\r\n\xff")


@pytest.mark.parametrize(
    ("name", "written"),
    [(b"c\xc3\xa9", b"c\xc3\xa9"), (b"c\xff", b"c\\xff"), (b"\xff\xc3\xa9", b"\\xff\xc3\xa9")],
)
def test_names_of_files_in_a_text(name: bytes, written: bytes, tmp_path: Path) -> None:
    """Write names that the locale cannot decode, which contain surrogates."""
    write_atomically(tmp_path / "a", name.decode("ascii", errors="surrogateescape"))
    assert (tmp_path / "a").read_bytes() == written


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.s2"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_does_not_fit_is_not_left_in_part(tmp_path: Path) -> None:
    """Let the kernel accept the first bytes of the file and refuse the rest."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    code = "import sys; from fuzz.files import write_atomically as w; w(sys.argv[1] + '/a', 'x' * 5000)"
    command = [sys.executable, "-B", "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("OSError: [Errno 27] File too large")
    assert list(tmp_path.iterdir()) == []


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write_atomically(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_long_name(tmp_path: Path) -> None:
    """Check this because the name of the temporary file has a length of its own."""
    path = tmp_path / ("ü" * 127)
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_leftovers_of_a_dead_process_do_not_interfere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create leftovers of a process with the same number."""
    monkeypatch.setattr(files, "_numbers", count())
    (tmp_path / "other").write_text("old")
    for number in range(3):
        (tmp_path / f".a.{os.getpid()}-{number}.tmp").symlink_to("other")
    write_atomically(tmp_path / "a", "new")
    assert ((tmp_path / "a").read_text(), (tmp_path / "other").read_text()) == ("new", "old")
    assert next(files._numbers) == 4


def test_a_place_that_becomes_a_device_is_not_replaced(tmp_path: Path) -> None:
    output = OutputFile(tmp_path / "a")
    output.probe()
    (tmp_path / "a").symlink_to("/dev/full")
    with output, pytest.raises(OSError, match="No space left"):
        output.write("new")
    assert os.readlink(tmp_path / "a") == "/dev/full"
    assert Path("/dev/full").is_char_device()


def test_files_written_together(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    places = [tmp_path / f"{name}.s2" for name in range(20)] + [tmp_path / "below" / "a.s2"]
    write_atomically(places[3], "old")
    places[3].chmod(0o640)
    assert write_together([(place, f"of {place.name}") for place in places]) == [None] * len(places)
    assert [place.read_text() for place in places] == [f"of {place.name}" for place in places]
    assert places[3].stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.rglob("*.s2")) == sorted(places)
    assert len(list(tmp_path.rglob("*"))) == len(places) + 1


def test_the_last_of_two_files_of_a_name_stays(tmp_path: Path) -> None:
    write_together([(tmp_path / "a", str(number)) for number in range(30)])
    assert (tmp_path / "a").read_text() == "29"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_one_of_several_files_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").symlink_to("/dev/full")
    names = ["a", "folder", "gone/b", "full", "c"]
    first, *errors, last = write_together([(tmp_path / name, "new") for name in names])
    assert (first, last) == (None, None)
    assert [error and error.errno for error in errors] == [errno.EISDIR, errno.ENOENT, errno.ENOSPC]
    assert [(tmp_path / name).read_text() for name in "ac"] == ["new", "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c", "folder", "full"]


def test_an_interrupted_write_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_together([(tmp_path / name, "old") for name in "ab"])

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_together([(tmp_path / name, "new") for name in "ab"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}


def test_several_files_sync_their_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[str | os.PathLike[str]] = []
    monkeypatch.setattr(files, "sync_folder", folders.append)
    write_together([(tmp_path / str(number), "new") for number in range(10)])
    assert folders == [os.path.realpath(tmp_path)]
