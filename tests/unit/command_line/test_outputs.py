# SPDX-License-Identifier: GPL-2.0-only
"""``-o``: a file or a link's target is replaced, a device or FIFO is written to, anything else is refused."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fuzz.command_line import cli
from fuzz.command_line.messages import one_line

from ..console import MISSING_CLEAN, ROOT
from ..processes import wait_for

# Commands that write one file, without the file's name.
WRITERS = {
    "convert": ["convert", "--to", "text", "p.s2", "-o"],
    "minimize": ["minimize", "--candidate", "rfc-v1", "--seconds", "0.01", "p.s2", "-o"],
}
# The output of each command begins with this line, possibly after comments.
FIRST_LINE = "s2fuzz 1\n"
WANTED = "; name a file that can be written, a device, or a FIFO that has a reader\n"
NO_ROOM = "; try: free space on the disk\n"

root = pytest.mark.skipif(os.geteuid() != 0, reason="making a device node needs root")

Write = Callable[[str], int]


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes to the named target, in a directory with nothing else."""
    monkeypatch.chdir(tmp_path)
    Path("p.s2").write_text(MISSING_CLEAN)
    command = WRITERS[request.param]
    return lambda target: cli.main([*command, target])


@contextmanager
def read_end(fifo: str) -> Iterator[int]:
    """Open a FIFO for reading."""
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def device(number: int) -> str:
    """Make a device node of our own with a minor number of the memory driver: 3 is null, 7 is full."""
    try:
        os.mknod("device", stat.S_IFCHR | 0o666, os.makedev(1, number))
        os.close(os.open("device", os.O_WRONLY))
    except OSError as error:
        pytest.skip(f"no device node can be made or used here: {error}")
    return "device"


def refused(write: Write, target: str, why: str, capsys: pytest.CaptureFixture[str], remedy: str = WANTED) -> None:
    before = sorted(os.listdir())
    assert write(target) == 2
    out, err = capsys.readouterr()
    # minimize prints the version and form that it runs before its long work, but refuses bad output even before that.
    said = [line for line in err.splitlines(keepends=True) if "CPython" not in line and " overrides " not in line]
    name = one_line(target) or "''"
    assert (out, said) == ("", [f"s2fuzz: -o {name}: {why}{remedy}"])
    assert sorted(os.listdir()) == before


def test_a_regular_file_is_replaced_as_a_whole(write: Write) -> None:
    Path("x").write_text("old")
    Path("hard").hardlink_to("x")
    assert write("x") == 0
    assert FIRST_LINE in Path("x").read_text()
    # The name now stands for another file: a process that reads the old file still sees all of it.
    assert Path("hard").read_text() == "old"
    assert sorted(os.listdir()) == ["hard", "p.s2", "x"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_replaced(write: Write, there: bool) -> None:
    Path("folder").mkdir()
    if there:
        Path("folder/x").write_text("old")
    Path("middle").symlink_to("folder/x")
    Path("link").symlink_to("middle")
    assert write("link") == 0
    assert (os.readlink("link"), os.readlink("middle")) == ("middle", "folder/x")
    assert FIRST_LINE in Path("folder/x").read_text()
    assert os.listdir("folder") == ["x"]


def test_a_fifo_is_written_to_and_stays(write: Write) -> None:
    os.mkfifo("fifo")
    with read_end("fifo") as fd:
        assert write("fifo") == 0
        assert FIRST_LINE in os.read(fd, 1 << 16).decode()
        # The command closed its end.
        assert os.read(fd, 1) == b""
    assert Path("fifo").is_fifo()


def test_a_fifo_reader_sees_no_end_of_file_before_the_data(tmp_path: Path) -> None:
    """Check this also for a command that works for a while between checking the FIFO and writing to it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "p.s2").write_text(MISSING_CLEAN)
    command = [sys.executable, "-m", "fuzz", "minimize", "--candidate", "rfc-v1", str(tmp_path / "p.s2")]
    command += ["-o", str(fifo)]
    # The states in order: no writer; a writer that has written nothing yet; the data; no writer.
    seen: list[str] = []
    text = b""

    def look() -> bool:
        nonlocal text
        over = child.poll() is not None
        try:
            data = os.read(fd, 1 << 16)
            state = "data" if data else "end"
            text += data
        except BlockingIOError:
            state = "open"
        if seen[-1:] != [state]:
            seen.append(state)
        return over and state == "end"

    with read_end(str(fifo)) as fd, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        wait_for(look, "the end of the file")
    assert child.returncode == 0
    assert FIRST_LINE in text.decode()
    if "open" in seen:
        assert "end" not in seen[seen.index("open") : seen.index("data")]


def test_a_fifo_without_a_reader_is_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("fifo")
    refused(write, "fifo", "a FIFO that nobody reads", capsys)
    assert Path("fifo").is_fifo()


def test_a_fifo_whose_reader_closes_it_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Check that the exit code is not that of a closed standard output (141)."""
    fifo, program = tmp_path / "fifo", tmp_path / "p.s2"
    os.mkfifo(fifo)
    # The output exceeds the capacity of a pipe.
    program.write_text(MISSING_CLEAN + "cpu0 read a+0\n" * 9_000)
    with subprocess.Popen(["head", "-c", "1", str(fifo)], stdout=subprocess.DEVNULL):
        # This call returns once head has opened the FIFO.
        holder = os.open(fifo, os.O_WRONLY)
        try:
            code = cli.main(["convert", "--to", "text", str(program), "-o", str(fifo)])
        finally:
            os.close(holder)
    assert code == 2
    assert capsys.readouterr().err == f"s2fuzz: -o {fifo}: Broken pipe{WANTED}"
    assert fifo.is_fifo()


def test_a_socket_is_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind("socket")
        refused(write, "socket", "a socket", capsys)
        assert Path("socket").is_socket()


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (".", "Is a directory"),
        ("folder", "Is a directory"),
        ("to-folder", "Is a directory"),
        ("new/", "Is a directory"),
        ("none/x", "No such file or directory"),
        ("p.s2/x", "Not a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("to-nowhere", "No such file or directory"),
        ("a\0b", "embedded null byte"),
        ("x" * 256, "File name too long"),
    ],
)
def test_a_target_that_cannot_be_a_file_is_refused(
    target: str, why: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    Path("to-folder").symlink_to("folder")
    Path("loop").symlink_to("loop")
    Path("to-nowhere").symlink_to("none/x")
    refused(write, target, why, capsys)


@pytest.mark.parametrize("link", [False, True])
def test_a_full_device_is_reported_and_stays(link: bool, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    target = "/dev/full"
    if link:
        Path("link").symlink_to(target)
        target = "link"
    before = os.stat("/dev/full")
    assert stat.S_ISCHR(before.st_mode)
    refused(write, target, "No space left on device", capsys, NO_ROOM)
    after = os.stat("/dev/full")
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)
    assert not link or os.readlink("link") == "/dev/full"


@root
@pytest.mark.parametrize(("number", "code"), [(3, 0), (7, 2)])
def test_a_device_node_is_written_to_and_stays(number: int, code: int, write: Write) -> None:
    node = device(number)
    before = os.stat(node)
    assert write(node) == code
    after = os.stat(node)
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)
    assert sorted(os.listdir()) == ["device", "p.s2"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_output_to_a_descriptor_keeps_earlier_content(name: str, tmp_path: Path) -> None:
    """Append with ``>> file``: the file behind the descriptor is not replaced."""
    (tmp_path / "p.s2").write_text(MISSING_CLEAN)
    out = tmp_path / "out"
    out.write_text("before\n")
    command = [sys.executable, "-m", "fuzz", "convert", "--to", "text", str(tmp_path / "p.s2"), "-o", name]
    with open(out, "ab") as file:
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_text().startswith("before\ns2fuzz 1\n")


def test_a_descriptor_that_is_not_open_for_writing(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    with open("p.s2", "rb") as file:
        refused(write, f"/dev/fd/{file.fileno()}", "open for reading only", capsys)
        number = os.dup(file.fileno())
    os.close(number)
    refused(write, f"/dev/fd/{number}", "Bad file descriptor", capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write all files")
def test_a_file_that_is_write_protected_is_refused(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x").write_text("old")
    Path("x").chmod(0o444)
    refused(write, "x", "Permission denied", capsys)
    assert Path("x").read_text() == "old"
