# SPDX-License-Identifier: GPL-2.0-only
"""Pages that user space writes after a fork() are copied one by one, but in one request to a tree's process."""

from pathlib import Path

import pytest

import candidate
from candidate.tree.building.source import KVM_MAIN
from candidate.tree.runtime import records as r
from candidate.tree.runtime.process import Process
from candidate.tree.runtime.versions import TreeMain
from fuzz.execution.executor import Executor
from fuzz.judging.differential import Differential
from fuzz.judging.stream import Stream
from fuzz.language.program import Program
from fuzz.language.text import parse

from .trees import planted, real_trees, version

PAGES = 80
# Upper bound on the pages copied in one request.
AT_A_TIME = r.ANSWERS // 3
COPIES = (
    "s2fuzz 1\nvm\nslot a size=4M backing=thp\nslot b size=1M backing=anon offset=4K\n"
    "cpu0 write a+0\nhost write b+0 320K\ncpu0 read b+0\ncpu0 write b+64K\ncpu1 fetch b+316K\n"
    "host share a+0 4M\nhost share b+0 320K\nhost write b+4K 8K\nhost write b+0 320K\nhost write a+0 64K\n"
    "cpu0 read b+64K\ncpu0 write b+68K\n"
)


def run(name: str, program: Program, stops: bool = False) -> tuple[int, int, list[str]]:
    """Run a program; return the digest and the number of its events, and the signatures of its violations.

    :param stops: whether the program ends early
    """
    executor = Executor(candidate.get(name), program)
    stream = Stream(executor.side.kernel)
    found = executor.create()
    for at in range(len(program.operations)):
        if not executor.dead:
            found += executor.step(at)[1]
    assert executor.dead == stops
    if not stops:
        found += executor.destroy()
    executor.dismantle()
    return stream.digest, stream.count, [each.signature for each in found]


def requests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the operations requested from processes from now on."""
    asked: list[int] = []
    send = Process.send

    def noted(self: Process, op: int, *args: int) -> None:
        asked.append(op)
        send(self, op, *args)

    monkeypatch.setattr(Process, "send", noted)
    return asked


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each step a request of its own."""
    monkeypatch.setattr(TreeMain, "copying", lambda *_: None)


@pytest.mark.parametrize("tree", real_trees())
def test_one_request_has_the_effect_of_single_ones(tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests(monkeypatch)
    together = run(version(tree), parse(COPIES))
    # Two of the pages have been copied before the others.
    assert asked.count(r.OP_COPY) == 1 + -(-2 // AT_A_TIME) + -(-(PAGES - 3) // AT_A_TIME) + 1
    # The page for which a huge page is split is copied alone.
    assert asked.count(r.OP_CHANGE_PTE) == 1
    asked.clear()
    one_by_one(monkeypatch)
    assert run(version(tree), parse(COPIES)) == together
    assert asked.count(r.OP_COPY) == 0
    assert asked.count(r.OP_CHANGE_PTE) > PAGES


def test_a_crash_during_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier steps are seen, and the crash is reported at the step in which it happens."""
    text = "\twake = !kvm->mn_active_invalidate_count;\n"
    copy = planted("6.12", tmp_path / "tree", KVM_MAIN, text, f"{text}\tBUG_ON(kvm->mmu_invalidate_seq == 40);\n")
    together = run(copy, parse(COPIES), stops=True)
    assert any("oops BUG() in" in each for each in together[2])
    one_by_one(monkeypatch)
    assert run(copy, parse(COPIES), stops=True) == together


def test_a_twin_that_differs_during_a_copy(tmp_path: Path) -> None:
    """The twin runs the steps one by one. If it differs, the program is judged again in full."""
    text = "\twake = !kvm->mn_active_invalidate_count;\n"
    instead = f"{text}\tif (kvm->mmu_invalidate_seq == 40)\n\t\tkvm->mmu_invalidate_seq++;\n"
    copy = planted("6.12", tmp_path / "tree", KVM_MAIN, text, instead)
    tree = candidate.get(version("6.12"))
    same, other = Differential(tree, tree), Differential(tree, candidate.get(copy))
    assert not same.run(parse(COPIES)).findings
    assert not same.again
    other.run(parse(COPIES))
    assert other.again == 1
