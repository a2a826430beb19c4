# SPDX-License-Identifier: GPL-2.0-only
"""Entries read by a tree's code are counted: an mmu lock held too long is found, and costs match those of the port."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate import Candidate
from candidate.tree import PREFIX
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.judging.cost import Costs
from fuzz.judging.differential import Differential
from fuzz.judging.stretch import ENTRIES
from fuzz.language.text import parse

from .trees import around, changed, real_tree

# Nine blocks of 16K pages, which are write-protected block by block.
BLOCK: Final = 2048
MANY: Final = (
    "s2fuzz 1\nvm granule=16K\nslot a size=288M backing=anon offset=16K\n"
    "table map a+0 256M rw\ntable map a+256M 32M rw\nlog a on\n"
)
HELD: Final = "contract: kvm_set_memory_region: mmu_lock held more than 4 times as long, without rescheduling"
RESCHEDULES: Final = "\t\t\tcond_resched_rwlock_write(&kvm->mmu_lock);\n"
VISITS: Final = "\t\t.old\t= READ_ONCE(*ptep),\n"
# A fault replaces a table by a block; then everything is unmapped.
COLLAPSE: Final = (
    "s2fuzz 1\nvm cpus=1 fwb=on\nslot a size=4M backing=thp log=on\ncpu0 read a+4K\ncpu0 read a+2M\nlog a off\n"
    "cpu0 read a+8K\ncpu0 write a+2M\nhost discard a+0 4M\n"
)
# Upper bound on the difference between the counts of a port and its tree: entries above a table may count once more.
FEW: Final = 32


def tree(folder: Path) -> Candidate:
    """Return the version of a tree."""
    return candidate.get(f"{PREFIX}{folder}")


def edited(folder: Path, file: str, text: str, instead: str) -> Candidate:
    """Return 6.12 with one text replaced."""
    original = real_tree("6.12")
    before, _, after = around(original / file, text)
    return tree(changed(original, folder / "tree", {file: before + instead + after}))


def findings(reference: Candidate, version: Candidate, text: str) -> list[tuple[str, str]]:
    """Return the class and signature of each finding of a program."""
    return [(each.kind, each.signature) for each in Differential(reference, version).run(parse(text)).findings]


def costs(reference: Candidate, version: Candidate, text: str) -> tuple[Costs, Costs]:
    """Return the costs of a program on both sides."""
    found = Differential(reference, version, measure=True).run(parse(text)).costs
    assert found is not None
    return found.reference, found.candidate


def test_held_too_long(tmp_path: Path) -> None:
    original = tree(real_tree("6.12"))
    version = edited(tmp_path, MMU, RESCHEDULES, "")
    (finding,) = Differential(original, version).run(parse(MANY)).findings
    assert (finding.kind, finding.signature, finding.at) == ("regression", HELD, 2)
    assert f"the reference {BLOCK + 1} (8 times)" in finding.reason
    assert findings(version, original, MANY) == [("cured", HELD)]
    _, mine = costs(original, version, MANY)
    assert mine.longest_hold_entries > max(ENTRIES, 9 * BLOCK)


@pytest.mark.parametrize("reference", ["5.12.9", "6.1", "6.12"])
def test_releases_show_nothing(reference: str) -> None:
    signatures = [signature for _, signature in findings(tree(real_tree(reference)), tree(real_tree("6.12")), MANY)]
    assert not [each for each in signatures if "mmu_lock held" in each]


def test_an_entry_that_is_read_twice_counts_once(tmp_path: Path) -> None:
    original = tree(real_tree("6.12"))
    twice = VISITS.replace("READ_ONCE(*ptep)", "(READ_ONCE(*ptep), READ_ONCE(*ptep))")
    version = edited(tmp_path, PGTABLE, VISITS, twice)
    assert findings(original, version, MANY) == []
    mine, others = costs(original, version, MANY)
    assert mine == others


@pytest.mark.parametrize("text", [MANY, COLLAPSE])
def test_a_tree_counts_what_its_port_counts(text: str) -> None:
    port, mine = costs(candidate.get("v5.12.9"), tree(real_tree("5.12.9")), text)
    for name in ("entries_visited", "longest_hold_entries", "window_entries", "longest_window_entries"):
        assert abs(getattr(port, name) - getattr(mine, name)) <= FEW, name
    assert mine.entries_visited > ENTRIES or mine.window_entries >= 2 * 512
