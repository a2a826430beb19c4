# SPDX-License-Identifier: GPL-2.0-only
"""A corpus stores each program once, and tolerates anything else in its folder."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.corpus import Corpus, CorpusError
from fuzz.generation.generator import Generator
from fuzz.language.program import Program, ProgramError, Vm
from fuzz.language.text import parse, print_program

from ..console import HEAD, ROOT


def programs(count: int, seed: int = 1) -> list[Program]:
    generator = Generator(seed)
    return [generator.next() for _ in range(count)]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "some" / "corpus")


def files(folder: Path) -> list[str]:
    """Return all files below a folder, as relative paths."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def filled(corpus: Corpus, count: int = 3) -> list[str]:
    return sorted(corpus.add(program) for program in programs(count))


def test_all_texts_of_a_program_have_one_entry(corpus: Corpus) -> None:
    canonical = HEAD + "host write a+4K 8K\n"
    slot = "slot a ipa=1G size=0x400000 log=on backing=thp\n"
    other = f"# why\n\ns2fuzz 1\nvm  cpus=2 # two\n{slot}host write a+0x1000 8192\n"
    digest = corpus.add(parse(other))
    assert corpus.add(other) == corpus.add(canonical) == digest
    assert len(corpus) == 1
    text = corpus.path(digest).read_text()
    assert text == print_program(parse(canonical))
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    assert files(corpus.folder) == [f"{digest[:2]}/{digest}.s2", "s2fuzz-corpus"]
    assert corpus.get(digest) == parse(canonical)


def test_programs_are_sorted_and_visible_to_other_objects(corpus: Corpus) -> None:
    digests = filled(corpus, 8)
    found = list(Corpus(corpus.folder).programs())
    assert [digest for digest, _ in found] == digests == corpus.digests()
    assert sorted(map(repr, programs(8))) == sorted(repr(program) for _, program in found)
    assert (len(corpus), corpus.aside) == (8, [])


def test_text_that_is_no_program_is_not_added(corpus: Corpus) -> None:
    with pytest.raises(ProgramError, match="unknown version '9'"):
        corpus.add("s2fuzz 9\nvm\n")
    with pytest.raises(ProgramError):
        corpus.add(Program(Vm(ipa=99), ()))
    assert len(corpus) == 0


def test_a_removed_program_is_gone(corpus: Corpus) -> None:
    first, second, third = filled(corpus)
    corpus.remove(second)
    corpus.remove(second)
    assert corpus.digests() == [first, third]
    assert (first in corpus, second in corpus) == (True, False)
    with pytest.raises(KeyError, match=second):
        corpus.get(second)


def damage(corpus: Corpus, digest: str, data: bytes) -> None:
    corpus.path(digest).write_bytes(data)


def named(corpus: Corpus, data: bytes) -> str:
    """Write a file that is named by its content; return its digest."""
    digest = hashlib.sha256(data).hexdigest()
    corpus.path(digest).parent.mkdir(exist_ok=True)
    corpus.path(digest).write_bytes(data)
    return digest


BAD = {
    "cut off": (b"s2fuzz 1\nvm\nslot a size=4M back", "line 3: "),
    "empty": (b"", "line 1: there is no program"),
    "zeros": (bytes(4096), "line 1: character '\\x00'"),
    "no text": (b"s2fuzz 1\n\xff\xfe", "byte 0xff at offset 9 is not UTF-8"),
    "one bit": (HEAD.replace("size=4M", "size=6M").encode(), "the content does not match the file's name"),
    "too long": (b"#" * ((1 << 20) + 1), "longer than 1M"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_corrupt_file_is_set_aside(kind: str, corpus: Corpus) -> None:
    data, reason = BAD[kind]
    first, second, third = filled(corpus)
    damage(corpus, second, data)
    assert [digest for digest, _ in corpus.programs()] == [first, third]
    (bad,) = corpus.aside
    assert bad.path == str(corpus.path(second))
    assert reason in bad.reason
    assert str(bad).count("\n") == 0
    assert Path(bad.moved).read_bytes() == data
    assert bad.reason in Path(f"{bad.moved}.reason").read_text()
    # The next reader no longer finds it.
    again = Corpus(corpus.folder)
    assert ([digest for digest, _ in again.programs()], again.aside) == ([first, third], [])


def test_a_program_of_an_unknown_version_is_set_aside(corpus: Corpus) -> None:
    digests = filled(corpus)
    named(corpus, b"s2fuzz 2\nmachine arm64\n")
    assert [digest for digest, _ in corpus.programs()] == digests
    (bad,) = corpus.aside
    assert bad.reason == "line 1: unknown version '2'; allowed: 1"


def test_foreign_files_are_set_aside_whatever_they_are(corpus: Corpus) -> None:
    first, second, third = filled(corpus)
    folder = corpus.folder
    (folder / "notes.txt").write_text("mine")
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab" / "x.s2").write_text(HEAD)
    (folder / "backup").mkdir()
    (folder / "backup" / "deep.s2").write_text(HEAD)
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to("gone")
    corpus.path(second).rename(folder / "ab" / corpus.path(second).name)
    (folder / ".hidden").write_text("left alone")
    assert [digest for digest, _ in corpus.programs()] == [first, third]
    names = [Path(bad.moved).relative_to(folder).as_posix() for bad in corpus.aside]
    assert sorted(names) == sorted(
        f"aside/{name}" for name in ("notes.txt", "x.s2", "backup", "pipe", "nowhere", f"{second}.s2")
    )
    assert (folder / "aside" / "backup" / "deep.s2").read_text() == HEAD
    assert (folder / ".hidden").is_file()


def test_files_set_aside_are_not_overwritten(corpus: Corpus) -> None:
    for text in "first", "second":
        (corpus.folder / "notes").write_text(text)
        list(corpus.programs())
    aside = corpus.folder / "aside"
    assert files(aside) == ["notes", "notes.1", "notes.1.reason", "notes.reason"]
    assert [(aside / name).read_text() for name in ("notes", "notes.1")] == ["first", "second"]


def test_reading_changes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    digests = filled(corpus)
    damage(corpus, digests[0], b"")
    before = files(corpus.folder)
    reader = Corpus(corpus.folder, change=False)
    for _ in range(2):
        assert [digest for digest, _ in reader.programs()] == digests[1:]
    assert [bad.moved for bad in reader.aside] == [""]
    assert str(reader.aside[0]).endswith("left in place")
    assert files(corpus.folder) == before
    with pytest.raises(CorpusError, match="not a corpus"):
        Corpus(tmp_path / "nothing", change=False)
    assert not (tmp_path / "nothing").exists()


def test_a_damaged_program_can_be_added_again(corpus: Corpus) -> None:
    digests = filled(corpus)
    damage(corpus, digests[0], b"s2fuzz 1\nvm\n")
    assert filled(corpus) == digests
    assert [digest for digest, _ in corpus.programs()] == digests
    assert len(corpus.aside) == 1


def test_a_folder_with_other_things_does_not_become_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CorpusError, match=r"holds other things \('thesis\.txt'\); name a corpus"):
        Corpus(tmp_path)
    assert files(tmp_path) == ["thesis.txt"]


def test_a_corpus_of_a_newer_version_is_left_alone(corpus: Corpus) -> None:
    (corpus.folder / "s2fuzz-corpus").write_text("2\n")
    with pytest.raises(CorpusError, match="unknown version '2'; allowed: 1"):
        Corpus(corpus.folder)


@pytest.mark.parametrize("place", ["file", "file/in", "\0", "/proc/corpus"])
def test_an_impossible_folder_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="; name a "):
        Corpus(tmp_path / place)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_reported_and_leaves_no_partial_file(
    number: int, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = filled(corpus)
    damage(corpus, digests[0], b"")
    before = files(corpus.folder)

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    for call in "fsync", "rename", "mkdir":
        monkeypatch.setattr(os, call, fail)
    for program in programs(3, seed=2):
        with pytest.raises(CorpusError, match=os.strerror(number)):
            corpus.add(program)
    assert files(corpus.folder) == before
    # Reading continues, and reports files that could not be moved.
    assert [digest for digest, _ in corpus.programs()] == digests[1:]
    assert [bad.moved for bad in corpus.aside] == [""]


def test_processes_can_add_concurrently(tmp_path: Path) -> None:
    code = (
        "import sys; from fuzz.corpus import Corpus; from fuzz.generation.generator import Generator\n"
        "corpus, generator = Corpus(sys.argv[1]), Generator(1)\n"
        "for _ in range(60): corpus.add(generator.next()); corpus.digests()\n"
        "assert corpus.aside == []"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "corpus")]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    corpus = Corpus(tmp_path / "corpus")
    expected = {print_program(program) for program in programs(60)}
    assert {print_program(program) for _, program in corpus.programs()} == expected
    assert len(files(corpus.folder)) == len(expected) + 1


def test_unfinished_files_of_a_killed_process_are_removed_in_time(corpus: Corpus) -> None:
    (digest, *_) = filled(corpus)
    old, new = (corpus.path(digest).with_name(f".{name}.s2.1-0.tmp") for name in ("old", "new"))
    for path in old, new:
        path.write_text("s2fu")
    os.utime(old, (0, 0))
    corpus.sweep()
    assert (old.exists(), new.exists(), len(corpus)) == (False, True, 3)
    assert [digest for digest, _ in corpus.programs()] == corpus.digests()
