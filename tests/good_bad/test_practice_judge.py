# SPDX-License-Identifier: GPL-2.0-only
"""Verdicts that were once wrong: excuses that applied too widely, and false alarms for right designs."""

import pytest

import candidate
from candidate import Candidate
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.finding import CURED, REGRESSION
from fuzz.language.text import parse

from .case import ORIGINAL, broken
from .practice_judge import (
    DropsAPageBehind,
    ExecNoFlush,
    FreesTablesEarly,
    MapsNeighbours,
    MovesWithoutUnmapping,
    PutsTwice,
    SetWayUnmaps,
)
from .set_way import SETWAY

V5_14 = candidate.get("v5.14")
EXEC_NO_FLUSH = Candidate("exec-no-flush", ExecNoFlush, V5_14.mmu, "")
NEIGHBOURS = Candidate("neighbours", V5_14.pgtable, MapsNeighbours, "")
TOUCHED_AGAIN = "slot a size=4K backing=anon\ncpu0 write a+0\nhost discard a+0 4K\ncpu0 read a+0\n"


def kinds(version: Candidate, text: str, reference: Candidate = ORIGINAL) -> list[str]:
    """Return the classes and signatures of a verdict."""
    return Differential(reference, version).run(parse("s2fuzz 1\n" + text)).titles()


@pytest.mark.parametrize("ttl", ["off", "on"])
def test_other_mappings_do_not_excuse_a_missing_flush(ttl: str) -> None:
    found = kinds(EXEC_NO_FLUSH, f"vm ttl={ttl}\n" + TOUCHED_AGAIN, V5_14)
    assert "regression isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3" in found
    # With hints, v5.14 shows B21 at the same point.
    what = "lifetime: stage2_unmap_walker: freed before the flush"
    assert f"{'regression' if ttl == 'off' else 'common'} {what}" in found


def test_an_access_that_follows_from_a_known_bug_names_it() -> None:
    """Only the original has B05: the guest reaches a page that the host has reclaimed."""
    text = "vm cpus=1\nslot a size=2052K backing=anon\ncpu0 read a+2M\nhost discard a+4K 2M\ncpu0 read a+2M\n"
    verdict = Differential(ORIGINAL, V5_14).run(parse("s2fuzz 1\n" + text))
    (grave,) = [finding for finding in verdict.findings if finding.signature.startswith("isolation")]
    assert (grave.kind, grave.known) == (CURED, "B05")
    assert grave.reason.endswith(
        "; it follows from translation: stage2_unmap_walker: still mapped after invalidation L3"
    )


@pytest.mark.parametrize(
    "text",
    [
        (
            "slot a ipa=1048596K size=2044K backing=anon\ncpu0 read a+2040K\nhost discard a+0 2044K\n"
            "table map a+2040K 4K r\nhost discard a+0 2044K\ncpu0 read a+2040K\n"
        ),
        (
            "slot a ipa=1048700K size=2M backing=anon\ncpu0 read a+2044K\nhost discard a+36K 2012K\ncpu0 read a+0\n"
            "host share a+0 4K\ncpu0 read a+2044K\nhost collapse a+0\ncpu0 write a+2044K\n"
        ),
    ],
)
def test_a_later_access_that_follows_from_a_known_bug_names_it(text: str) -> None:
    """The page that B05 left mapped is gone, and another page stays mapped in the same way."""
    verdict = Differential(ORIGINAL, ORIGINAL).run(parse("s2fuzz 1\nvm cpus=1\n" + text))
    assert [finding.signature.partition(":")[0] for finding in verdict.findings] == ["translation", "isolation"]
    assert [finding.known for finding in verdict.findings] == ["B05", "B05"]


MOVES_OVER_ITSELF = """\
vm
slot a ipa=1G size=16K backing=anon
slot a move 3145732K
cpu1 read a+4K
par
  user0 slot a move 3G
  cpu0 read a+4K
  switch user0 to cpu0 after lock 1
end
"""


# A fault at the old place continues while user space waits for it.
COPIES_MEANWHILE = """\
vm cpus=1
slot a ipa=1G size=8K backing=anon
slot a move 2097156K
host share a+0 4K
cpu0 read a+4K
par
  cpu0 write a+0
  user0 slot a move 2G
  switch cpu0 to user0 after unlock 1
end
"""
# A block at the old place overlaps the new place of the page that the host takes away.
TAKES_MEANWHILE = (
    "vm cpus=2\nslot a ipa=1G size=4M backing=thp\nslot a move 1030M\ncpu0 read a+0\nhost share a+3068K 4K\n"
    "cpu0 read a+3068K\npar\ncpu1 write a+3068K\nuser0 slot a move 1028M\nswitch cpu1 to user0 after load 3\n"
    "switch user0 to cpu1 after lock 1\nend\n"
)
# The written page has different guest frame numbers at the old and the new place.
LOGS_MEANWHILE = (
    "vm cpus=1\nslot a ipa=1G size=8K backing=anon log=on\nslot a move 1050628K\npar\ncpu0 write a+0\n"
    "user0 slot a move 1026M\nswitch cpu0 to user0 after store 1\nend\nlog a get\n"
)


def test_a_slot_moved_over_its_old_place_is_accessible_until_it_is_unmapped() -> None:
    assert kinds(ORIGINAL, MOVES_OVER_ITSELF) == []
    assert kinds(ORIGINAL, COPIES_MEANWHILE) == []
    assert kinds(ORIGINAL, TAKES_MEANWHILE) == []
    assert kinds(ORIGINAL, LOGS_MEANWHILE) == []
    found = kinds(broken(mmu=MovesWithoutUnmapping), MOVES_OVER_ITSELF + "cpu0 read a+8K\n")
    assert "regression isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3" in found


def test_a_fault_continues_with_the_old_log_state_of_its_slot() -> None:
    """M1: user space turns the log off in between, but the fault uses the slot as it was."""
    text = "vm cpus=1\nslot a ipa=1G size=2M backing=thp\ncpu0 read a+0\nlog a on\n"
    block = "par\n  cpu0 fetch a+0\n  user0 log a off\n  switch cpu0 to user0 before lock 1\nend\n"
    (finding,) = Differential(ORIGINAL, ORIGINAL).run(parse("s2fuzz 1\n" + text + block)).findings
    assert finding.signature.startswith("memcache")
    assert finding.known == "M1"


def test_a_use_after_free_counts_after_a_violation_that_taints() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=anon\ncpu0 read a+0\nhost discard a+0 2M\ncpu0 read a+4K\n"
    found = kinds(broken(FreesTablesEarly), text)
    assert "regression lifetime: stage2_unmap_walker: freed while reachable" in found
    assert [each for each in found if each.startswith("regression lifetime") and "a freed table" in each]
    assert kinds(ORIGINAL, text) == []


def test_a_freed_table_that_is_used_repeatedly_counts_once() -> None:
    differential = Differential(V5_14, Candidate("puts-twice", PutsTwice, V5_14.mmu, ""))
    generator = Generator(1)
    ones = 0
    for _ in range(40):
        found = [each for each in differential.run(generator.next()).findings if each.kind == REGRESSION]
        uses = [each for each in found if each.signature.endswith((" a freed table", "double free"))]
        assert len(uses) <= 1
        assert not uses or found[-1] is uses[0]
        ones += sum("; before it, in the same program: lifetime: " in each.reason for each in uses)
    assert ones > 10


SETWAYS = "vm cpus=1\nslot a size=2M backing=anon\ncpu0 cache on\ncpu0 write a+0\ncpu0 setway\n"


@pytest.mark.parametrize(
    "text",
    [
        SETWAYS + "host discard a+0 4K\ncpu0 read a+0\n",
        SETWAYS + "cpu0 read a+0 mmu=off\ncpu0 fetch a+0 mmu=off\n",
        SETWAYS + "host migrate a+0 4K\ncpu0 write a+0\ncpu0 setway\ncpu0 write a+0\n",
    ],
)
def test_set_way_may_invalidate_all_tables(text: str) -> None:
    assert [kind for kind in kinds(SETWAY, text, V5_14) if not kind.startswith("divergence map")] == []
    assert [kind for kind in kinds(broken(mmu=SetWayUnmaps), text) if not kind.startswith("divergence map")] == []


def test_a_fault_may_map_its_neighbours() -> None:
    text = "vm\nslot a size=32K backing=anon\nhost write a+0 32K\ncpu0 read a+8K mmu=off\ncpu1 read a+12K mmu=off\n"
    assert kinds(NEIGHBOURS, text, V5_14) == ["divergence map"]


def test_a_fault_must_not_unmap_other_pages() -> None:
    text = "vm cpus=1 fwb=on\nslot a size=8M backing=anon\ncpu0 read a+4M\ncpu0 read a+0\n"
    assert "regression translation: stage2_unmap_walker: change outside the range L3" in kinds(
        broken(mmu=DropsAPageBehind), text
    )


@pytest.mark.parametrize(
    ("version", "reference"),
    [(SETWAY, V5_14), (broken(mmu=SetWayUnmaps), ORIGINAL), (NEIGHBOURS, V5_14)],
    ids=["set/way invalidates", "set/way unmaps", "maps neighbours"],
)
def test_right_designs_raise_no_regression_on_random_programs(version: Candidate, reference: Candidate) -> None:
    generator = Generator(3)
    for _ in range(150):
        program = generator.next()
        verdict = Differential(reference, version).run(program)
        assert [finding for finding in verdict.findings if finding.kind == REGRESSION] == []
