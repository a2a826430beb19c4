# SPDX-License-Identifier: GPL-2.0-only
"""No process of a kernel tree can be started: each command reports this in one line, and nothing remembers it."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from candidate import get
from candidate.tree.runtime.errors import TreeNotStartedError
from fuzz.corpus.folder import Corpus
from fuzz.corpus.observing import Observed, observe
from fuzz.engines.repeated import repeat
from fuzz.judging import verdict as judging
from fuzz.judging.differential import Differential
from fuzz.judging.known import program_of
from fuzz.judging.versions_with_bug import bug_run
from fuzz.language.text import load, parse
from fuzz.sides.side import Side

from ..console import ROOT, process

PROGRAM: Final = "s2fuzz 1\nvm\nslot a size=4M backing=thp\ncpu0 read a+0\npar\ncpu0 read a+4K\ncpu1 read a+4K\nend\n"
ALONE: Final = "s2fuzz 1\nvm\nslot a size=4M backing=thp\ncpu0 read a+0\n"
WHY: Final = "a process of the kernel tree cannot be started: Too many open files"
# Makes every process of s2fuzz meet the limit: when the module of the sides has run, its method is replaced.
LIMITED: Final = """
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "fuzz.sides.side":
            return None
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            from candidate.tree.runtime.errors import TreeNotStartedError

            def create(self):
                raise TreeNotStartedError("Too many open files")

            module.Side.create = create

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process meet the limit."""

    def create(_: Side) -> int:
        raise TreeNotStartedError("Too many open files")

    monkeypatch.setattr(Side, "create", create)


@pytest.fixture
def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with programs; processes with it first on their path meet the limit."""
    monkeypatch.setenv("S2FUZZ_PURE", "1")
    (tmp_path / "sitecustomize.py").write_text(LIMITED)
    (tmp_path / "p.s2").write_text(PROGRAM)
    (tmp_path / "alone.s2").write_text(ALONE)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "run --candidate rfc-v1 p.s2",
        "run --trace --candidate rfc-v1 p.s2",
        "explore --candidate rfc-v1 p.s2",
        "compare --candidate rfc-v1 --workload create --cpus 1",
        "report --candidate rfc-v1 p.s2",
        "minimize --candidate rfc-v1 p.s2",
        "promote --candidate rfc-v1 --out . p.s2",
        "export --events --model rfc-v1 p.s2",
        "export --casemate --model rfc-v1 alone.s2",
        "fuzz --candidate rfc-v1 --programs 2",
        "gate --candidate rfc-v1 --programs 2",
    ],
)
def test_a_command_without_a_process_has_no_verdict(limited: Path, command: str) -> None:
    done = process(*command.split(), path=limited, cwd=limited, stdout=subprocess.PIPE)
    assert done.returncode == 4, done
    written = done.stdout + done.stderr
    assert WHY in written
    assert "no verdict: " in written
    assert "mistake of s2fuzz" not in written
    assert "Traceback" not in written


def test_a_corpus_keeps_programs_that_no_process_could_run(limited: Path) -> None:
    corpus = Corpus(limited / "c")
    corpus.add(parse(ALONE))
    arguments = "corpus", "minimize", "--candidate", "rfc-v1", "--corpus", str(corpus.folder)
    done = process(*arguments, path=limited, cwd=limited, stdout=subprocess.PIPE)
    assert done.returncode == 0, done
    assert len(corpus) == 1
    assert f"kept, because its features cannot be observed: {WHY}\n" in done.stderr


def test_an_observation_without_a_process_does_not_last(limited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{limited}:{ROOT}")
    (observed,) = observe([("7", ALONE)], "original", "rfc-v1", workers=1)
    assert observed == Observed("7", None, WHY, lasting=False)


def test_the_program_of_a_known_bug_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    original = get("original")
    bug_run.cache_clear()
    with monkeypatch.context() as patched:
        limit(patched)
        with pytest.raises(TreeNotStartedError, match=WHY):
            bug_run(original, "B05")
    assert bug_run(original, "B05").signature
    assert not bug_run(original, "B05").refused


def test_there_is_no_verdict_if_a_tree_cannot_be_asked_for_a_known_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def has_bug(*_: object) -> bool:
        raise TreeNotStartedError("Too many open files")

    monkeypatch.setattr(judging, "has_bug", has_bug)
    verdict = Differential(get("original"), get("rfc-v1-3")).run(load(program_of("B05")))
    assert (verdict.refused, verdict.findings) == (WHY, [])


def test_a_program_that_cannot_be_repeated_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    program = parse(PROGRAM)
    assert repeat(get("original"), program)
    limit(monkeypatch)
    assert not repeat(get("original"), program)
