# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz corpus``: its actions on programs, folders and libFuzzer's files, and its refusals of anything else."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz.corpus import Corpus
from fuzz.corpus.statistics import all_kinds, statistics
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.language.binary import decode, encode
from fuzz.language.operations import OPERATIONS
from fuzz.language.text import parse, print_program

from ..console import HEAD, ROOT, Result, in_process, process, refused
from ..processes import PATIENCE, interruptible, wait_for

Call = Callable[..., Result]
SEEDS = ROOT / "corpus" / "seeds"
SOME = sorted(SEEDS.glob("hugetlb-*.s2"))


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return a function that runs ``s2fuzz corpus`` in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    return in_process(capfd, "corpus")


def answer(result: Result) -> dict[str, Any]:
    """Return the JSON object that answers ``--json``."""
    assert result[0] in (0, 2)
    found: dict[str, Any] = json.loads(result[1])
    return found


def files(folder: str) -> dict[str, bytes]:
    """Return the files below a folder, except hidden ones, with their contents."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_programs_of_any_kind_are_added_once(call: Call) -> None:
    program = parse(HEAD + "cpu0 read a+0\n")
    Path("text").write_text("# a comment\n" + print_program(program))
    Path("binary").write_bytes(encode(program))
    said = f"programs: {len(SOME) + 1} added, 1 already there\n"
    assert call("add", "text", "binary", *map(str, SOME)) == (0, said, "")
    assert call("add", str(SEEDS), "--corpus", "other")[0] == 0
    seeds = len(list(SEEDS.iterdir()))
    assert len(Corpus("other")) == seeds
    assert call("add", "other")[1] == f"programs: {seeds - len(SOME)} added, {len(SOME)} already there\n"


def test_standard_input_is_a_program_too(tmp_path: Path) -> None:
    with open(SOME[0], "rb") as stdin:
        done = process("corpus", "add", "-", "--corpus", str(tmp_path / "c"), stdin=stdin, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("c: 1 added, 0 already there\n")


def test_standard_input_that_is_closed_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fuzz", "corpus", "add", "-", "--corpus", str(tmp_path / "c")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    done = subprocess.run(closed, env=environment, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (2, "s2fuzz: <stdin>: cannot be read; pipe a program into s2fuzz\n")


def test_a_file_that_is_no_program_is_reported_and_the_rest_is_added(call: Call) -> None:
    Path("bad").write_text("s2fuzz 7\nvm\n")
    code, out, err = call("add", "bad", str(SOME[0]), "missing")
    assert (code, out) == (2, "programs: 1 added, 0 already there, 2 refused\n")
    assert err == (
        "s2fuzz: bad:1: unknown version '7'; allowed: 1\n"
        "s2fuzz: missing: No such file or directory; name a file that can be read\n"
    )


def test_merge_leaves_the_merged_corpora_unchanged(call: Call) -> None:
    call("add", *map(str, SOME[:2]), "--corpus", "one")
    call("add", *map(str, SOME[1:]), "--corpus", "two")
    (Path("two") / "foreign").write_text("?")
    digest = Corpus("one").digests()[0]
    Corpus("one").path(digest).write_bytes(b"damaged")
    before = files("one"), files("two")
    code, out, err = call("merge", "one", "two", "--json")
    assert code == 0
    found = json.loads(out)
    assert len(found["added"]) == len(Corpus("programs")) >= len(SOME) - 1
    assert len(found["refused"]) == len(err.splitlines()) == 2
    assert (files("one"), files("two")) == before
    refused(call("merge", str(SEEDS)), "not a corpus; name a corpus", "corpus add")


def test_export_to_and_import_from_libfuzzer_change_no_program(call: Call) -> None:
    generator = Generator(3)
    corpus = Corpus("programs")
    for _ in range(12):
        corpus.add(generator.next())
    assert call("export", "bytes") == (0, "bytes: 12 written, 0 already there\n", "")
    for name, data in files("bytes").items():
        assert name == hashlib.sha1(data).hexdigest()
        assert print_program(decode(data)).encode() in files("programs").values()
    assert call("export", "bytes")[1] == "bytes: 0 written, 12 already there\n"
    assert call("import", "bytes", "--corpus", "back")[1] == "back: 12 added, 0 already there\n"
    assert files("back") == files("programs")


def test_every_file_that_libfuzzer_left_is_imported(call: Call) -> None:
    Path("bytes/deep").mkdir(parents=True)
    for name, data in {"a": b"", "b": b"\xff" * 100, "deep/c": b"\x01", "d": b"s2fuzz 1\nvm\n"}.items():
        Path("bytes", name).write_bytes(data)
    code, out, err = call("import", "bytes")
    assert (code, out) == (0, "programs: 3 added, 0 already there, 1 refused\n")
    assert err.startswith("s2fuzz: bytes/d:2: no slot; allowed: ")
    refused(call("import", "missing"), "missing: not a directory; name one of libFuzzer's")


def test_show_describes_the_corpus_and_changes_nothing(call: Call) -> None:
    call("add", str(SEEDS))
    foreign = Path("programs", "notes")
    foreign.write_text("mine")
    code, out, err = call("show")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    programs = len(list(SEEDS.iterdir()))
    assert lines[0].startswith(f"programs: {programs} programs, ")
    assert any(line.split() == ["log", "clear", "4", "3"] for line in lines)
    assert lines[-1].startswith("programs/notes: not a program of this corpus")
    assert lines[-1].endswith("left in place")
    assert foreign.is_file()
    found = answer(call("show", "programs", "--json"))
    assert found["programs"] == programs
    assert sum(found["settings"]["granule"].values()) == programs
    assert found["features"] == []
    assert sum(each["operations"] for each in found["kinds"].values()) == found["operations"]["all"]
    assert len(found["bad"]) == 1


def test_the_first_digits_of_a_digest_select_a_program(call: Call) -> None:
    call("add", *map(str, SOME))
    digest = Corpus("programs").digests()[0]
    code, out, err = call("show", digest[:12])
    assert (code, err) == (0, "")
    assert out.startswith(f"# programs/{digest[:2]}/{digest}.s2\n")
    assert parse(out) == Corpus("programs").get(digest)
    assert answer(call("show", digest, "--json"))["digest"] == digest
    refused(call("show", "0" * 64), "no program begins with 000")
    Corpus("programs").path(digest).write_text("damaged")
    refused(call("show", digest), "line 1", "left in place; fix or remove it")


def test_each_kind_of_operation_is_counted_under_its_own_name() -> None:
    generator = Generator(1, offers=Offers(prefault=True))
    programs = [generator.next() for _ in range(400)]
    found = statistics(programs)
    assert found.absent() == []
    assert list(found.kinds) == all_kinds()
    assert len(all_kinds()) == len(set(all_kinds())) >= len(OPERATIONS)
    assert sum(count for count, _ in found.kinds.values()) == found.operations == sum(found.lengths)
    assert statistics([]).absent() == all_kinds()


@pytest.mark.parametrize("action", ["show", "export", "minimize", "merge"])
def test_a_directory_that_is_no_corpus_is_refused(action: str, call: Call) -> None:
    options = {"export": ["out"], "minimize": ["--candidate", "rfc-v1", "--dry-run"], "merge": ["missing"]}
    refused(call(action, *options.get(action, [])), "not a corpus", "; name a ")


def test_minimize_keeps_programs_that_alone_show_something(call: Call) -> None:
    for count in range(4):
        Path(f"{count}.s2").write_text(HEAD + "cpu0 read a+0\n" * count)
    call("add", "0.s2", "1.s2", "2.s2", "3.s2", str(SOME[0]))
    Path("programs", "zz").write_text("foreign")
    dry = answer(call("minimize", "--candidate", "rfc-v1", "--workers", "2", "--dry-run", "--json"))
    assert (dry["observed"], dry["programs"]["before"], len(Corpus("programs"))) == (5, 5, 5)
    code, out, err = call("minimize", "--candidate", "rfc-v1")
    assert code == 0
    after = dry["programs"]["after"]
    assert out.startswith(f"programs: {5 - after} of 5 programs removed, {after} left, with ")
    assert 0 < after < 5
    assert "programs/zz: not a program of this corpus" in err
    assert Path("programs/aside/zz").read_text() == "foreign"
    assert len(Corpus("programs")) == after
    (seen,) = answer(call("show", "--json"))["features"]
    assert seen == {"versions": "original rfc-v1", "programs": after, "features": dry["features"]}


def test_an_interrupted_minimisation_ends_soon_and_can_be_resumed(tmp_path: Path) -> None:
    """Interrupt the command in the middle: its observing processes stay at their first programs until the test ends."""
    generator, corpus = Generator(1), Corpus(tmp_path / "c")
    for _ in range(20):
        corpus.add(generator.next())
    (tmp_path / "sitecustomize.py").write_text(
        "import pathlib, sys, time\n"
        "if 'fuzz.corpus.observing_process' in sys.orig_argv:\n"
        "    from fuzz.judging.differential import Differential\n"
        "    def run(self, program):\n"
        f"        pathlib.Path({str(tmp_path)!r}, 'at-work').touch()\n"
        "        time.sleep(1000)\n"
        "    Differential.run = run\n"
    )
    command = [sys.executable, "-m", "fuzz", "corpus", "minimize", "--candidate", "rfc-v1"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "S2FUZZ_PURE": "1"}
    running = subprocess.Popen(
        interruptible([*command, "--corpus", str(corpus.folder)]),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((tmp_path / "at-work").exists, "a program that is observed")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (130, "")
    assert "the same command resumes" in err
    assert "Traceback" not in err
    assert len(corpus) == 20
    goes_on = ["corpus", "minimize", "--candidate", "rfc-v1", "--corpus", str(corpus.folder)]
    assert process(*goes_on, stdout=subprocess.PIPE).returncode == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_reported_in_one_line(
    number: int, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("add", *map(str, SOME[:2]))
    before = files(".")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    why = os.strerror(number)
    refused(call("add", str(SOME[2])), why, "use a folder that can be written, with room in it")
    refused(call("add", str(SOME[2]), "--corpus", "new"), why, "; name a corpus")
    refused(call("export", "out"), why, "name a directory that can be created and written")
    assert files(".") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full_or_read_only(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        folder = str(disk / "c")
        full = process("corpus", "add", str(SEEDS), "--corpus", folder, stdout=subprocess.PIPE)
        refused((full.returncode, full.stdout, full.stderr), "No space left on device; use a folder")
        corpus = Corpus(folder)
        assert 0 < sum(1 for _ in corpus.programs()) == len(corpus) < 60
        assert corpus.aside == []
        assert not list(disk.rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        before = files(folder)
        for command in ["add", str(SEEDS)], ["minimize", "--candidate", "rfc-v1"]:
            done = process("corpus", *command, "--corpus", folder, stdout=subprocess.PIPE)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.splitlines()[-1].endswith("use a folder that can be written, with room in it")
            assert "Traceback" not in done.stderr
        options = ["--candidate", "rfc-v1", "--dry-run", "--corpus", folder]
        dry = process("corpus", "minimize", *options, stdout=subprocess.PIPE)
        assert dry.returncode == 0
        assert "would be removed" in dry.stdout
        assert files(folder) == before
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_minimize_does_not_create_a_mistyped_corpus(call: Call) -> None:
    refused(call("minimize", "--corpus", "never", "--candidate", "rfc-v1"), "never: not a corpus")
    assert not Path("never").exists()
