# SPDX-License-Identifier: GPL-2.0-only
"""Parts of the machine: kernels by name, the cache folder, the archive of /init, the memory."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from candidate.tree.building.cache_folder import UNUSED
from fuzz.real import initrd, kernels
from fuzz.real.errors import RealError
from fuzz.real.folder import UNFINISHED, entry, folder, making
from fuzz.real.memory import BASE, NODES, RealMemory


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
