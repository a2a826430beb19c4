# SPDX-License-Identifier: GPL-2.0-only
"""Parts of the machine: kernels by name, the cache folder, the archive of /init, the memory."""

import errno
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from fuzz.hardware.qemu import VARIABLE
from fuzz.real import initrd, kernels
from fuzz.real import session as sessions
from fuzz.real.errors import RealError
from fuzz.real.folder import UNFINISHED, entry, entry_made, folder, making
from fuzz.real.kernels import RealKernel
from fuzz.real.left_out import CPU
from fuzz.real.memory import BASE, NODES, RealMemory
from fuzz.real.model import TREES_VARIABLE, available_trees
from fuzz.real.session import RealSession
from reference.cache_folder import UNUSED


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "s2fuzz" / "real"


@pytest.fixture
def three(cache: Path) -> Path:
    """Make a cache with kernels, and with folders that are none."""
    for name in ("6.12.9-1-cloud", "6.12.117+deb12-cloud", "6.1.0-56-cloud", ".making-x"):
        (cache / "kernels" / name).mkdir(parents=True)
        (cache / "kernels" / name / "vmlinuz").write_bytes(name.encode())
    (cache / "kernels" / "6.20.0").mkdir()
    return cache


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", "6.12.117+deb12-cloud"),
        ("6.12", "6.12.117+deb12-cloud"),
        ("6.1", "6.1.0-56-cloud"),
        ("6.12.9", "6.12.9-1-cloud"),
    ],
)
def test_kernels_by_version(three: Path, wanted: str, found: str) -> None:
    assert kernels.find(wanted).name == found


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("6.2", "no kernel 6.2, there are: 6.12.117"), ("/none/Image", "no such file"), ("/", "a folder")],
)
def test_a_kernel_that_is_not_there(three: Path, wanted: str, words: str) -> None:
    with pytest.raises(RealError, match=words):
        kernels.find(wanted)


def test_no_kernel_at_all() -> None:
    with pytest.raises(RealError, match=r"no kernel at hand, there is none in .*; `make real` fetches"):
        kernels.find("")


def test_no_trees_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TREES_VARIABLE, raising=False)
    # As for a user ID without an entry.
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert available_trees() == {}


def test_a_kernel_image_from_a_file(tmp_path: Path) -> None:
    image = tmp_path / "Image"
    image.write_bytes(b"one")
    kernel = kernels.find(str(image))
    before = kernel.digest()
    image.write_bytes(b"two")
    assert kernel.digest() != before


def test_an_entry_is_complete_or_absent(cache: Path) -> None:
    with making("init", "a") as work:
        (work / "file").write_text("x")
        assert entry("init", "a") is None
    assert (cache / "init" / "a" / "file").read_text() == "x"
    with suppress(KeyError), making("init", "b") as work:
        (work / "file").touch()
        raise KeyError
    assert os.listdir(cache / "init") == ["a"]


def test_unused_entries_are_removed(cache: Path) -> None:
    for name in ("new", "old", f"{UNFINISHED}x"):
        (cache / "init" / name).mkdir(parents=True)
    os.utime(cache / "init" / "old", (1, 1))
    assert UNUSED > 3600
    with making("init", "a") as work:
        (work / "file").touch()
    assert sorted(os.listdir(cache / "init")) == ["a", "new"]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with (
        pytest.raises(RealError, match=r"cannot write to .*; make room there, or set XDG_CACHE_HOME"),
        making("init", "a"),
    ):
        pass
    assert folder("init") == tmp_path / "file" / "s2fuzz" / "real" / "init"


def test_the_archive_is_valid(tmp_path: Path) -> None:
    """List the archive with cpio if it is installed, and check its parts in any case."""
    data = initrd.archive(b"program")
    assert data.count(b"070701") == 4
    assert len(data) % 4 == 0
    assert data.index(b"init\0") < data.index(b"program") < data.index(b"TRAILER!!!\0")
    if shutil.which("cpio"):
        listed = subprocess.run(["cpio", "-t"], input=data, capture_output=True, check=True).stdout
        assert listed.split() == [b"dev", b"dev/console", b"init"]


def test_no_cross_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(initrd.VARIABLE, "/none/gcc")
    with pytest.raises(RealError, match=r"no cross compiler: /none/gcc is not there; provide aarch64-linux-gnu-gcc"):
        initrd.make()


@pytest.mark.parametrize("script", ["echo 'x.c:1: error: no such header' >&2; exit 1", "exit 1"])
def test_a_compiler_that_fails(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "gcc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv(initrd.VARIABLE, str(program))
    with pytest.raises(RealError, match=r"cannot compile /init: (x\.c:1: error: no such header|exit code 1); provide"):
        initrd.make()
    assert os.listdir(cache / "init") == []


def test_memory_is_saved_and_loaded(tmp_path: Path) -> None:
    last = BASE + sum(NODES) - 8
    with RealMemory() as memory:
        for file, offset, data in ((0, 4096, b"\1" * 8), (1, NODES[1] - 8, b"\2" * 8), (0, 1 << 20, bytes(65536))):
            os.pwrite(memory.files[file], data, offset)
        # Zeroes are not written.
        assert memory.save(tmp_path) == 2 * 65536
    with RealMemory() as memory:
        memory.load(tmp_path)
        assert memory.words(BASE + 4096, 2).tolist() == [0x0101010101010101, 0]
        assert memory.words(last, 1).tolist() == [0x0202020202020202]
        assert sum(os.fstat(file).st_blocks for file in memory.files) * 512 < 1 << 20
    (tmp_path / "memory1").write_bytes(b"")
    with RealMemory() as memory, pytest.raises(OSError, match="another size"):
        memory.load(tmp_path)


def test_memory_that_cannot_be_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image with missing parts must not be saved."""

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with RealMemory() as memory:
        os.pwrite(memory.files[0], b"\1", 0)
        monkeypatch.setattr(os, "lseek", fails)
        with pytest.raises(OSError, match="Input/output error"):
            memory.save(tmp_path)


def test_an_entry_is_made_once(cache: Path) -> None:
    made: list[Path] = []

    def make(work: Path) -> None:
        made.append(work)
        (work / "file").touch()

    assert [entry_made("init", "a", make) for _ in range(2)] == [cache / "init" / "a"] * 2
    assert len(made) == 1
    with pytest.raises(FileNotFoundError):
        entry_made("init", "b", lambda work: (work / "none").rmdir())
    assert entry("init", "b") is None


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealKernel:
    """Make a QEMU that ends at once, an empty archive, and a file that is no kernel."""
    for name in ("qemu", "Image"):
        (tmp_path / name).write_text("#!/bin/sh\necho no such machine >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "qemu"))
    monkeypatch.setattr(initrd, "make", lambda: tmp_path / "Image")
    return RealKernel(tmp_path / "Image", "Image")


def open_files() -> list[str]:
    """Return what the open files of this process are."""
    return sorted(os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if open_now(each))


def open_now(number: str) -> bool:
    """Return whether a file is open; the one that lists them is not any more."""
    return os.path.lexists(f"/proc/self/fd/{number}")


def test_a_session_that_does_not_start_leaves_nothing(qemu: RealKernel, tmp_path: Path) -> None:
    """A saved machine has memory for its events before it is restored."""
    saved = entry_made(sessions.PART, name_of(qemu), write_saved)
    assert (saved / sessions.STATE).exists()
    before = open_files()
    with pytest.raises(RealError, match="no such machine"):
        RealSession(qemu, plugin=tmp_path / "stream.so")
    assert open_files() == before


def name_of(kernel: RealKernel) -> str:
    """Return the name of a saved machine."""
    session = RealSession.__new__(RealSession)
    session.kernel, session.append, session.cpu, session.initrd = kernel, "", CPU, initrd.make()
    return session.name()


def write_saved(work: Path) -> None:
    """Write a saved machine without contents."""
    for name in (sessions.STATE, sessions.SYMBOLS):
        (work / name).touch()
    (work / sessions.READY).write_text("READY 6.0 4096 kvm")
    with RealMemory() as memory:
        memory.save(work)


@pytest.mark.parametrize("damage", [sessions.READY, sessions.SYMBOLS, sessions.STATE, "memory0"])
@pytest.mark.parametrize("text", [None, "READY"])
def test_a_damaged_saved_machine(qemu: RealKernel, tmp_path: Path, damage: str, text: str | None) -> None:
    """A machine that is interrupted while it is written may leave empty files."""
    saved = entry_made(sessions.PART, name_of(qemu), write_saved)
    (saved / damage).unlink()
    if text is not None:
        (saved / damage).write_text(text)
    before = open_files()
    with pytest.raises(RealError) as caught:
        RealSession(qemu, plugin=tmp_path / "stream.so")
    # The state is used only after QEMU has started.
    wanted = "no such machine" if damage == sessions.STATE else f"the saved machine {saved} cannot be used: "
    assert wanted in str(caught.value)
    assert open_files() == before


def test_no_files_for_a_machine(qemu: RealKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    before = open_files()
    monkeypatch.setattr(socket, "socketpair", fails)
    with pytest.raises(RealError, match="no files for the emulated machine: Too many open files; free some"):
        RealSession(qemu, progress=lambda _: None)
    assert open_files() == before
