# SPDX-License-Identifier: GPL-2.0-only
"""Features of the host on kernel trees: a program for each, and the events or outcome that show that it works.

If a tree does not declare a feature, there is no verdict on the program, and the reason is given.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import pytest

import candidate
from fuzz.judging.differential import Differential, Lockstep
from fuzz.language.text import parse
from reference.machine.address_space import ZEROES

from ..unit.block_run import Run
from .fidelity import Stream
from .trees import real_trees, version

TREES: Final = [name for name in real_trees() if name != "5.12.9"] or ["6.12"]


@dataclass(frozen=True)
class Feature:
    """A feature of the host.

    :param lines: lines of the program after ``s2fuzz 1``
    :param at: index of the operation that is checked
    :param events: name of an event, and its minimum number in that operation
    :param outcome: outcome of that operation, as text
    :param needs: attribute of kvm_main.c without which there is no verdict
    """

    lines: str
    at: int
    events: tuple[tuple[str, int], ...] = ()
    outcome: str = "ok 0"
    needs: str = ""


PAGES: Final = "vm\nslot a size=4M backing=anon\n"
BLOCKS: Final = "vm\nslot a size=4M backing=thp\n"
LOGGED: Final = "vm{}\nslot a size=4M backing=thp log=on\n"

FEATURES: Final = {
    "caches switched on": Feature(PAGES + "cpu0 write a+0 mmu=off\ncpu0 cache on", 1, (("dcache", 1),)),
    "flush by set and way": Feature(
        PAGES + "cpu0 write a+0\ncpu0 cache off\ncpu0 cache on\ncpu0 setway", 3, (("dcache", 1),)
    ),
    "memory failure": Feature(PAGES + "cpu0 read a+0\nhost poison a+0\ncpu0 read a+0", 2, (("sigbus", 1),), "sigbus 0"),
    "copy on write": Feature(PAGES + "host share a+0 4K\ncpu0 write a+0", 1, (("cow", 1),)),
    "discarded pages": Feature(PAGES + "cpu0 read a+0\nhost discard a+0 4K\ncpu0 read a+0", 2, (("pin", 1),)),
    "merged pages": Feature(PAGES + "cpu0 read a+0\nhost merge a+0\ncpu0 read a+0", 2, (("pin", 1),)),
    "hugetlb": Feature("vm\nslot a size=4M backing=hugetlb2m\ncpu0 write a+4K", 0, (("gfn_to_pfn", 1),)),
    "access flag fault": Feature(PAGES + "cpu0 read a+0\nhost age a+0 4K\ncpu0 read a+0", 2, (("store", 1),)),
    "manual log": Feature(
        LOGGED.format(" manual=on") + "cpu0 write a+0\nlog a get\nlog a clear 0 4M\ncpu0 write a+0\nlog a get",
        4,
        outcome="ok dirty page 0",
    ),
    "log initially set": Feature(LOGGED.format(" manual=set") + "log a get", 0, outcome="ok dirty pages 0-1023"),
    "slot that moves": Feature(BLOCKS + "cpu0 write a+0\nslot a move 4G\ncpu0 write a+0", 2, (("gfn_to_pfn", 1),)),
    "several VMs": Feature(
        "vm vms=2\nslot a size=2M backing=thp\nslot b size=2M backing=thp vm=1 alias=a\n"
        "cpu0 write a+0\ncpu2 write b+0\nhost migrate a+0 2M",
        2,
        (("seq", 4),),
    ),
    "reset of a vCPU": Feature(PAGES + "cpu0 write a+0\ncpu0 reset", 1, (("tlbi_ipa", 1),)),
    "eager splitting with the log": Feature(
        "vm split=2M\nslot a size=4M backing=thp\ncpu0 write a+0\ncpu0 write a+2M\nlog a on",
        2,
        (("alloc", 2), ("topup", 1), ("mc_pop", 2), ("mc_count", 1)),
        needs="SPLITS_EAGERLY",
    ),
    "eager splitting with the clearing of a log": Feature(
        "vm split=2M manual=set\nslot a size=4M backing=thp\ncpu0 write a+2M\nlog a on\nlog a get\nlog a clear 2M 2M",
        3,
        (("alloc", 1), ("topup", 1)),
        needs="SPLITS_EAGERLY",
    ),
    "dirty ring": Feature(
        LOGGED.format(" ring=4K") + "cpu0 write a+0\ncpu1 write a+8K\nlog a get",
        2,
        (("log_taken", 1), ("tlbi_vmid", 1)),
        outcome="ok dirty pages 0, 2",
        needs="HAS_DIRTY_RINGS",
    ),
    "page in a dirty ring again": Feature(
        LOGGED.format(" ring=4K") + "cpu0 write a+0\nlog a get\ncpu1 write a+0\nlog a get\nlog a get",
        3,
        (("log_taken", 1),),
        outcome="ok dirty page 0",
        needs="HAS_DIRTY_RINGS",
    ),
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_feature(feature: Feature, tree: str) -> None:
    name = version(tree)
    program = parse(f"s2fuzz 1\n{feature.lines}\n")
    stream = Stream(name, program)
    if feature.needs and not getattr(candidate.get(name).main, feature.needs):
        assert stream.refused.endswith(f"which {name} does not have")
        return
    assert stream.refused == ""
    _, outcome, events = stream.steps[1 + feature.at]
    seen = Counter(event[0] for event in events)
    assert {event: seen[event] for event, least in feature.events if seen[event] < least} == {}
    assert outcome == feature.outcome


@pytest.mark.parametrize("tree", TREES)
def test_the_host_of_a_comparison_is_that_of_the_reference(tree: str) -> None:
    """Since v6.12, Linux frees pages that contain only zeroes when it splits a huge page."""
    mine = candidate.get(version(tree))
    assert mine.main.HOST.drops_zeroes is (tree in ("6.12", "7.3"))
    host = mine.main.HOST
    newest = (host.fills_zeroes, host.collapses_read_only, host.unmaps_by_area, host.frees_tables)
    assert newest == (tree == "7.3",) * 4
    program = parse("s2fuzz 1\nvm\nslot a size=2M backing=thp\nhost discard a+0 2M\ncpu0 write a+0\nhost split a+0\n")
    for reference in (mine, candidate.get("v5.12.9")):
        steps = Lockstep(Differential(reference, mine), program)
        steps.left.create()
        steps.right.create()
        for at in range(len(program.operations)):
            steps.left.step(at)
            steps.right.step(at)
        runs = [side.host.run_at(side.layouts[0].hva + 4096) for side in (steps.left.side, steps.right.side)]
        zeroes = [run is not None and run.flags & ZEROES != 0 for run in runs]
        assert zeroes == [reference.main.HOST.drops_zeroes] * 2
        for side in (steps.left.side, steps.right.side):
            side.dismantle()


@pytest.mark.parametrize("thread", ["split", "poison", "merge"])
@pytest.mark.parametrize("tree", TREES)
def test_a_page_of_zeroes_that_a_split_frees_is_mapped_nowhere(tree: str, thread: str) -> None:
    """A look-up finds either the huge page before the split, which the notifier invalidates, or the split pages."""
    text = "s2fuzz 1\nvm cpus=1\nslot a size=2M backing=anon\nhost discard a+0 4K\nhost collapse a+0\n"
    places = [f"{side} {step} 1" for step in ("start", "change", "end") for side in ("before", "after")]
    for place in places:
        switches = f"switch host0 to cpu0 {place}\nswitch cpu0 to host0 after lookup 1\n"
        block = f"par\nhost0 {thread} a+0\ncpu0 read a+0\n{switches}end\n"
        run = Run(version(tree), f"{text}{block}cpu0 read a+0\n")
        assert (place, run.violations) == (place, [])


def lost(tree: str, settings: str) -> list[str]:
    """Return the findings of a tree in a program that writes pages of a block while dirty rings log writes."""
    name = version(tree)
    if not candidate.get(name).main.HAS_DIRTY_RINGS:
        pytest.skip(f"{tree} has no dirty rings")
    slot = "slot a size=2M backing=thp log=on"
    text = f"s2fuzz 1\nvm ring=4K{settings}\n{slot}\ncpu0 write a+0\ncpu0 write a+4K\nlog a get\n"
    both = candidate.get(name)
    return [finding.signature for finding in Differential(both, both).run(parse(text)).findings]


@pytest.mark.parametrize("tree", TREES)
def test_a_ring_without_a_bitmap_loses_writes_to_blocks(tree: str) -> None:
    """``memslot_is_logging()`` checks for a bitmap: with rings and no bitmaps, logged slots are mapped by blocks."""
    assert lost(tree, "") == []
    assert "translation: stage2_map_walker: writable and not in the dirty log L2" in lost(tree, " bitmap=off")


@pytest.mark.parametrize("tree", TREES)
def test_a_ring_that_is_nearly_full_is_emptied(tree: str) -> None:
    """A ring of 4K has 256 entries, of which 64 are reserved."""
    name = version(tree)
    if not candidate.get(name).main.HAS_DIRTY_RINGS:
        pytest.skip(f"{tree} has no dirty rings")
    writes = "".join(f"cpu0 write a+{page * 4}K\n" for page in range(200))
    stream = Stream(name, parse(f"s2fuzz 1\nvm ring=4K\nslot a size=1M backing=anon log=on\n{writes}log a get\n"))
    reset = [at for at, (_, _, events) in enumerate(stream.steps) if any(event[0] == "log_taken" for event in events)]
    assert reset == [192, 201]
    assert stream.steps[201][1] == "ok dirty pages 0-199"


# Writes to one slot that fill the ring: it has 192 entries before user space empties it.
WRITES: Final = "".join(f"cpu0 write a+{page * 4}K\n" for page in range(192))
TWO_SLOTS: Final = {
    "the log of one is read": "cpu0 write a+0\nlog b get\ncpu0 write a+0\n",
    "the ring is full": f"{WRITES}cpu0 write b+0\n",
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("operations", TWO_SLOTS.values(), ids=TWO_SLOTS)
def test_rings_are_reset_for_all_slots(operations: str, tree: str) -> None:
    """A ring records pages of all slots of its VM: a reset for one slot write-protects pages of other slots too."""
    name = version(tree)
    if not candidate.get(name).main.HAS_DIRTY_RINGS:
        pytest.skip(f"{tree} has no dirty rings")
    slots = "slot a size=1M backing=anon log=on\nslot b size=1M backing=anon log=on\n"
    both = candidate.get(name)
    verdict = Differential(both, both).run(parse(f"s2fuzz 1\nvm ring=4K\n{slots}{operations}"))
    assert [finding.signature for finding in verdict.findings] == []
