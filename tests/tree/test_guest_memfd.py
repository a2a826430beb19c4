# SPDX-License-Identifier: GPL-2.0-only
"""Slots whose memory is a guest_memfd, by the tree's own guest_memfd.c."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building import probes
from candidate.tree.building.source import GUEST_MEMFD, MMU, TreeSource
from fuzz.judging.differential import Differential
from fuzz.language.text import load, parse

from .fidelity import Stream
from .test_events import trace, violations
from .trees import planted, real_tree, real_trees, version

SEED: Final = load(Path(__file__).parents[2] / "corpus" / "seeds" / "guest-memfd.s2")
# A page that both vCPUs have, and that goes.
HOLE: Final = parse(
    "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=memfd\ncpu0 write a+0\ncpu1 read a+0\n"
    "host discard a+0 4K\ncpu1 read a+0\n"
)
UNMAP: Final = "\t\tflush |= kvm_mmu_unmap_gfn_range(kvm, &gfn_range);"
BEGIN: Final = "\t\t\tkvm_mmu_invalidate_start(kvm);\n"
# Of gmem_abort().
RETRY: Final = (
    "\tif (mmu_invalidate_retry(kvm, mmu_seq)) {\n\t\tret = -EAGAIN;\n\t\tgoto out_unlock;\n\t}\n\n"
    "\tif (perm_fault) {\n\t\t/*"
)


def memfd_tree() -> str:
    """A tree whose arm64 has guest_memfd; the test is skipped where none is at hand."""
    for name in real_trees():
        if "HAVE_GUEST_MEMFD" in probes.found(TreeSource(real_tree(name))):
            return name
    pytest.skip("needs a kernel tree whose arm64 has guest_memfd")


def test_a_tree_with_it_runs_the_seed() -> None:
    name = version(memfd_tree())
    assert violations(name, SEED) == []
    assert Differential(candidate.get(name), candidate.get(name)).run(SEED).findings == []


def test_what_a_hole_does() -> None:
    steps = Stream(version(memfd_tree()), HOLE).steps
    (_, written, _), (_, gone, events), (_, read, again) = steps[1], steps[3], steps[4]
    assert (written, gone) == ("ok 0", "ok 0")
    names = [event[0] for event in events]
    # The count is raised before the page goes, and the sequence after it has gone.
    assert names.index("seq") < names.index("store") < names.index("tlbi_ipa") < len(names) - names[::-1].index("seq")
    assert names.count("seq") == 2
    # No notifier told KVM: the host's own pages stay.
    assert "host_update" not in names
    # Another page, which has nothing of the old one.
    assert read == "ok 0"
    assert [event[0] for event in again].count("pin") == 1


def test_there_is_no_page_before_the_first_touch() -> None:
    lines = trace(version(memfd_tree()), parse("s2fuzz 1\nvm\nslot a size=2M backing=memfd\ncpu0 read a+8K\n"))
    assert len([line for line in lines if line.startswith("pin frame")]) == 1
    assert not any("find_vma" in line for line in lines[lines.index("lock srcu") :])


def test_memory_that_fails_is_gone_until_a_hole_is_punched() -> None:
    text = "cpu0 write a+0\nhost poison a+0\ncpu0 read a+0\nhost discard a+0 4K\ncpu0 read a+0\n"
    program = parse(f"s2fuzz 1\nvm\nslot a size=2M backing=memfd\n{text}")
    name = version(memfd_tree())
    steps = Stream(name, program).steps
    assert [step[1] for step in steps[1:-1]] == ["ok 0", "ok 0", "efault EHWPOISON", "ok 0", "ok 0"]
    assert [event[0] for event in steps[2][2]].count("seq") == 2
    assert violations(name, program) == []


@pytest.mark.parametrize("name", ["5.12.9", "6.1", "6.12"])
def test_a_tree_without_it_has_no_verdict(name: str) -> None:
    assert Stream(version(name), HOLE).refused == f"guest_memfd (backing=memfd), which {version(name)} does not have"


@pytest.mark.parametrize(
    ("path", "text", "instead", "signature"),
    [
        pytest.param(
            GUEST_MEMFD,
            UNMAP,
            "",
            "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3",
            id="the guest keeps its page",
        ),
        pytest.param(
            GUEST_MEMFD,
            BEGIN,
            "",
            "fault-order: kvm_mmu_notifier_invalidate_range_start: unmapped before the notifier count was raised",
            id="no invalidation is begun",
        ),
        pytest.param(
            MMU,
            RETRY,
            "\tif (perm_fault) {\n\t\t/*",
            "fault-order: kvm_handle_guest_abort: mapped without mmu_notifier_retry() after a translation fault",
            id="no retry is asked for",
        ),
    ],
)
def test_a_planted_mistake(tmp_path: Path, path: str, text: str, instead: str, signature: str) -> None:
    name = planted(memfd_tree(), tmp_path / "tree", path, text, instead)
    assert signature in violations(name, HOLE)
