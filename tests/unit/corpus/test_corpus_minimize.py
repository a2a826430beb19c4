# SPDX-License-Identifier: GPL-2.0-only
"""Minimising a corpus loses no feature, even if it is killed in the middle."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import candidate
from fuzz.corpus import Corpus, CorpusError, observation_cache, observing
from fuzz.corpus.minimize import exclusive, minimize
from fuzz.corpus.observation_cache import FILE, SOURCES, Observations, pack, seen_features, sources_digest, unpack
from fuzz.corpus.observing import ObservingError, observe
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.text import print_program

from ..console import HEAD, ROOT
from ..processes import wait_for

PROGRAMS = 20
VERSIONS = ("original", "rfc-v1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a corpus with superfluous programs, already observed."""
    corpus = Corpus(tmp_path_factory.mktemp("made") / "corpus")
    generator = Generator(1)
    for _ in range(PROGRAMS):
        corpus.add(generator.next())
    for operations in range(6):
        corpus.add(HEAD + "cpu0 read a+0\n" * operations)
    done = minimize(corpus, *VERSIONS, workers=2, dry_run=True)
    assert done.observed == done.before == len(corpus)
    return corpus.folder


@pytest.fixture(scope="module")
def minimal(made: Path) -> list[str]:
    """Return the programs left after an undisturbed run."""
    folder = made.with_name("minimal")
    shutil.copytree(made, folder)
    corpus = Corpus(folder)
    done = minimize(corpus, *VERSIONS, workers=2)
    assert (done.observed, done.before) == (0, len(Corpus(made)))
    assert done.kept == corpus.digests()
    assert sorted(done.kept + done.removed) == Corpus(made).digests()
    return corpus.digests()


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Corpus:
    shutil.copytree(made, tmp_path / "corpus")
    return Corpus(tmp_path / "corpus")


@pytest.fixture
def unobserved(corpus: Corpus) -> Corpus:
    """Return the same corpus without the observations of its programs."""
    (corpus.folder / FILE).unlink()
    return corpus


def features(folder: Path) -> set[int]:
    """Return the features of all programs, observed in this process."""
    reference, patched = map(candidate.get, VERSIONS)
    differential = Differential(reference, patched, features=True)
    return {feature for _, program in Corpus(folder).programs() for feature in differential.run(program).features}


def test_fewer_programs_have_the_same_features(made: Path, minimal: list[str]) -> None:
    left = made.with_name("minimal")
    assert features(left) == features(made)
    assert 10 < len(minimal) < len(Corpus(made)) - 3
    (seen,) = seen_features(Corpus(left))
    assert seen == ("original rfc-v1", len(minimal), len(features(left)))


def test_minimising_again_runs_and_removes_nothing(made: Path, minimal: list[str]) -> None:
    done = minimize(Corpus(made.with_name("minimal")), *VERSIONS, workers=2)
    assert (done.observed, done.removed, done.kept) == (0, [], minimal)


def test_a_dry_run_removes_nothing_and_keeps_its_observations(unobserved: Corpus, minimal: list[str]) -> None:
    before = unobserved.digests()
    reader = Corpus(unobserved.folder, change=False)
    done = minimize(reader, *VERSIONS, workers=1, dry_run=True)
    assert (done.observed, done.kept) == (len(before), minimal)
    assert unobserved.digests() == before
    assert minimize(unobserved, *VERSIONS, workers=1).observed == 0
    assert unobserved.digests() == minimal


def script(body: str, folder: Path) -> int:
    """Minimise in a separate process; *body* is the code that makes it die.

    :returns: its process number
    """
    code = (
        "import os, signal, sys\n"
        "from fuzz.corpus import Corpus\n"
        "from fuzz.corpus import minimize as module\n"
        "def die(): os.kill(os.getpid(), signal.SIGKILL)\n"
        "def tell(done, total): pass\n"
        f"module._SAVE_EVERY = 0\n{body}\n"
        "module.minimize(Corpus(sys.argv[1]), 'original', 'rfc-v1', 2, progress=tell)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT)
    assert process.wait() == -signal.SIGKILL
    return process.pid


def left_behind(parent: int) -> list[bytes]:
    """Return the processes started by a process that is dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"fuzz.corpus.observing_process" in words and str(parent).encode() in words:
            found.append(path.parent.name.encode())
    return found


def no_orphans(parent: int) -> None:
    wait_for(lambda: not left_behind(parent), "the end of all processes")


def test_resuming_after_a_kill_while_observing_has_the_same_result(unobserved: Corpus, minimal: list[str]) -> None:
    before = unobserved.digests()
    for count in 5, 12:
        no_orphans(script(f"def tell(done, total): done >= {count} and die()", unobserved.folder))
        assert unobserved.digests() == before
    done = minimize(unobserved, *VERSIONS, workers=2)
    # All programs before the one at which it was killed were saved each time.
    assert done.observed <= len(before) - 11
    assert unobserved.digests() == minimal


@pytest.mark.parametrize("count", [1, 4])
def test_resuming_after_a_kill_while_removing_has_the_same_result(
    count: int, corpus: Corpus, minimal: list[str]
) -> None:
    body = (
        "real, left = Corpus.remove, list(range(" + str(count) + "))\n"
        "def remove(self, digest): left.pop() if left else die(); real(self, digest)\n"
        "Corpus.remove = remove"
    )
    before = len(corpus)
    no_orphans(script(body, corpus.folder))
    assert len(corpus) == before - count
    remarks: list[str] = []
    minimize(corpus, *VERSIONS, workers=1, remark=remarks.append)
    (line,) = remarks
    assert line.startswith(f"an earlier run left {before - len(minimal)} superfluous programs;")
    assert corpus.digests() == minimal


def test_programs_added_meanwhile_stay(corpus: Corpus, minimal: list[str]) -> None:
    late = print_program(Generator(7).next())

    def tell(done: int, total: int) -> None:
        corpus.add(late)

    minimize(corpus, *VERSIONS, workers=1, progress=tell)
    assert corpus.digests() == sorted([*minimal, corpus.add(late)])


def test_features_of_other_sources_are_not_used(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    total = len(corpus)
    assert minimize(corpus, *VERSIONS, workers=2, dry_run=True).observed == 0
    # Features of another pair are not used, either.
    assert Observations(corpus.folder, "original", "v5.14").known(corpus.digests()) == {}
    monkeypatch.setattr(observation_cache, "sources_digest", lambda: "0" * 64)
    assert Observations(corpus.folder, *VERSIONS).known(corpus.digests()) == {}
    assert seen_features(corpus) == []
    monkeypatch.undo()
    assert len(Observations(corpus.folder, *VERSIONS).known(corpus.digests())) == total


def test_the_digest_changes_with_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "reference/a.py", "candidate/deep/b.py", "fuzz/judging/known.toml", "fuzz/reports/c.py":
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(observation_cache, "home_folder", lambda: tmp_path)
    digests = {sources_digest()}
    for name in "reference/a.py", "candidate/deep/b.py", "fuzz/judging/known.toml":
        (tmp_path / name).write_text("2")
        digests.add(sources_digest())
    assert len(digests) == 4
    (tmp_path / "fuzz/reports/c.py").write_text("2")
    assert sources_digest() in digests


def test_the_sources_include_all_packages_that_run_a_program() -> None:
    """Compare with the packages that the observing process imports, except those that start and report."""
    imports = "import sys, fuzz.corpus.observing_process, fuzz.judging.differential"
    program = f"{imports}; print(*(name for name in sys.modules if name.startswith('fuzz.')))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, text=True, capture_output=True, check=True)
    packages = {"/".join(name.split(".")[:2]) for name in ran.stdout.split() if name.count(".") > 1}
    assert packages - {"fuzz/processes", "fuzz/corpus"} == {each for each in SOURCES if each.startswith("fuzz/")}


def test_features_of_edited_code_are_not_used(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "my patch").mkdir()
    file, text = tmp_path / "my patch" / "mine.py", (ROOT / "candidate" / "rfc_v1_1.py").read_text()
    text = text.replace("from ..registry", "from candidate.registry").replace("from .", "from candidate.")
    file.write_text(text.replace('"rfc-v1-1"', '"mine"').replace("order=10", "order=999"))
    for observed in len(corpus), 0:
        assert minimize(corpus, "original", str(file), workers=2, dry_run=True).observed == observed
    file.write_text(f"{file.read_text()}\n# Edited.\n")
    done = minimize(corpus, "original", str(file), workers=2, dry_run=True)
    assert done.observed == len(corpus)
    # Those of the earlier code are gone, and those of other versions stay.
    known = {each.versions: each.programs for each in seen_features(corpus)}
    assert known == {f"original {file}": len(corpus), " ".join(VERSIONS): len(corpus)}


def test_a_cache_of_an_older_release_is_emptied(corpus: Corpus, minimal: list[str]) -> None:
    with closing(sqlite3.connect(corpus.folder / FILE)) as database, database:
        database.execute("UPDATE observed SET key = 'original rfc-v1 0'")
        database.execute("PRAGMA user_version = 1")
    remarks: list[str] = []
    done = minimize(corpus, *VERSIONS, workers=2, remark=remarks.append)
    assert (done.kept, done.observed, remarks) == (minimal, done.before, [])
    with closing(sqlite3.connect(corpus.folder / FILE)) as database:
        assert database.execute("SELECT count(*) FROM observed").fetchone() == (len(minimal),)


def test_a_program_without_a_verdict_is_kept(corpus: Corpus, minimal: list[str]) -> None:
    needs_rings = corpus.add("s2fuzz 1\nvm ring=4K\nslot a size=64K backing=anon log=on\ncpu0 write a+0\n")
    done = minimize(corpus, *VERSIONS, workers=2)
    assert done.kept == sorted([*minimal, needs_rings])
    assert [(each.digest, each.trouble.partition(": ")[0]) for each in done.troubled] == [(needs_rings, "no verdict")]


def test_features_survive_packing() -> None:
    values = (0, 1, 0x80000000, 0xFFFFFFFF)
    assert unpack(pack(values)) == values


def test_a_broken_cache_is_put_away(corpus: Corpus, minimal: list[str]) -> None:
    data = b"no database at all" * 100
    (corpus.folder / FILE).write_bytes(data)
    remarks: list[str] = []
    assert minimize(corpus, *VERSIONS, workers=2, remark=remarks.append).kept == minimal
    (remark,) = remarks
    assert "file is not a database; moved to .observed.sqlite3.broken" in remark
    assert (corpus.folder / f"{FILE}.broken").read_bytes() == data


def test_a_second_minimisation_at_the_same_time_is_refused(corpus: Corpus) -> None:
    with exclusive(corpus.folder), pytest.raises(CorpusError, match="another process is minimising it"):
        minimize(corpus, *VERSIONS, workers=1)


def test_a_full_disk_ends_minimising_and_nothing_is_removed(
    unobserved: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = unobserved.digests()
    real = sqlite3.connect

    def small(*arguments: object, **options: object) -> sqlite3.Connection:
        database: sqlite3.Connection = real(*arguments, **options)  # type: ignore[call-overload]
        # SQLite's setting for a disk of this many pages.
        database.execute("PRAGMA max_page_count = 8")
        return database

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(CorpusError, match=r"database or disk is full; use a folder that can be written"):
        minimize(unobserved, *VERSIONS, workers=1)
    monkeypatch.undo()
    assert unobserved.digests() == before
    with sqlite3.connect(unobserved.folder / FILE) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def observed(jobs: Sequence[tuple[str, str]]) -> dict[str, observing.Observed]:
    return {each.digest: each for each in observe(jobs, *VERSIONS, workers=1)}


def test_a_program_that_kills_its_process_is_kept_and_not_recorded(
    unobserved: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, poison = unobserved.digests()
    real = observing.Worker.give

    def give(worker: observing.Worker, job: tuple[str, str]) -> None:
        if job[0] == poison:
            while not worker.ready:
                worker.answer()
            worker.process.kill()
        real(worker, job)

    monkeypatch.setattr(observing.Worker, "give", give)
    done = minimize(unobserved, *VERSIONS, workers=1)
    assert [(each.digest, each.trouble) for each in done.troubled] == [
        (poison, "the process that judged it was killed by SIGKILL, twice")
    ]
    assert poison in unobserved
    assert poison in done.kept
    assert poison not in Observations(unobserved.folder, *VERSIONS).known(unobserved.digests())


def test_an_internal_error_is_reported_for_its_program_alone() -> None:
    found = observed([("a", HEAD), ("b", "s2fuzz 1\n"), ("c", HEAD + "cpu0 read a+0\n")])
    assert list(found) == ["a", "b", "c"]
    assert found["b"].features is None
    assert found["b"].trouble.startswith("ProgramError: ")
    assert found["a"].features != found["c"].features
    assert found["a"].features


def test_a_program_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def give(worker: observing.Worker, job: tuple[str, str]) -> None:
        """Pretend to send the program: the process never receives it."""
        worker.job, worker.since = job, time.monotonic()

    monkeypatch.setattr(observing.Worker, "give", give)
    (found,) = observe([("a", HEAD)], *VERSIONS, workers=1, patience=0.0)
    assert found.features is None
    assert not found.lasting
    assert "made no progress" in found.trouble


def test_processes_that_do_not_start_end_minimising(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ObservingError, match="the last one ended with exit code 1"):
        list(observe([("a", HEAD)], "original", "no-such-candidate", workers=2))
    assert "no-such-candidate" in capfd.readouterr().err


def test_no_process_is_left_after_an_interruption() -> None:
    found = observe([(str(number), HEAD) for number in range(10)], *VERSIONS, workers=2)
    next(found)
    assert left_behind(os.getpid())
    found.close()
    assert left_behind(os.getpid()) == []
