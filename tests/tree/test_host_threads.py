# SPDX-License-Identifier: GPL-2.0-only
"""Threads of the host that run concurrently with vCPUs in a kernel tree: their steps, their locks, and findings."""

from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import MMU

from ..unit.block_run import Run
from .trees import planted, real_trees, version

TREE: Final = "6.12"
# The host takes a page away after a vCPU has looked it up. If the fault does not notice, it maps the old frame.
HEAD: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\n"
PAR: Final = "par\ncpu0 write a+0\nhost0 {}\n{}\nend\ncpu0 read a+0\n"
PAIR: Final = HEAD + PAR
# With dirty logging, a fault does not read the page size from the host's page tables: only the notifier sequence
# shows that the page is gone.
LOGGED: Final = HEAD.replace("anon", "anon log=on") + PAR
LOOKED_UP: Final = "switch cpu0 to host0 after lookup 1"
PLACES: Final = (
    *("after fault 1", "before lookup 1", "after lookup 1", "before lock 1", "after lock 1", "after load 1"),
    *("before cmpxchg 1", "after store 1", "before unlock 1", "after unlock 1"),
)
STEPS: Final = (
    *("before start 1", "after start 1", "before change 1", "after change 1", "before end 1", "after end 1"),
    *("before lock 1", "after lock 1", "before unlock 1", "after unlock 1", "after lock 1 fault=2"),
)
OPERATIONS: Final = (
    *("discard a+0 4K", "migrate a+0 4K", "unmap a+0 4K", "share a+0 4K", "merge a+0", "collapse a+0", "split a+0"),
    *("write a+0 4K", "writeback a+0 4K", "poison a+0", "age a+0 4K", "testage a+0"),
)


def test_a_fault_overtaken_by_a_notifier_retries() -> None:
    for name in real_trees() or [TREE]:
        run = Run(version(name), PAIR.format("discard a+0 4K", LOOKED_UP))
        assert run.violations == []
        access, discard = run.outcomes[0].parts
        # The first fault has changed nothing.
        assert (access.status, access.faults, discard.status) == ("ok", 2, "ok")
        turns = [line.rpartition(" ")[2] for line in run.lines if line.startswith("-- turn")]
        assert turns == ["cpu0", "host0", "cpu0"]


def test_steps_of_a_thread_come_in_order() -> None:
    """Between start and change, the page is mapped nowhere; between change and end, no fault maps it."""
    name = version(TREE)
    for step in STEPS:
        text = HEAD + f"cpu0 read a+0\npar\nhost0 migrate a+0 4K\ncpu0 write a+0\nswitch host0 to cpu0 {step}\nend\n"
        run = Run(name, text)
        assert (step, run.violations, run.outcomes[1].detail) == (step, [], "")
        assert [part.status for part in run.outcomes[1].parts] == ["ok", "ok"]


def test_readers_of_the_mmap_lock_wait_for_a_writer() -> None:
    name = version(TREE)
    text = HEAD + "par\nhost0 {}\ncpu0 write a+0\nswitch host0 to cpu0 after start 1\nend\n"
    waits = {
        each: Run(name, text.format(each)).count("waits for the mmap lock, which host0 holds") for each in OPERATIONS
    }
    # In its first step, munmap() splits the area at the new boundary, still with the lock held for writing.
    assert [each for each in OPERATIONS if waits[each]] == ["unmap a+0 4K", "share a+0 4K", "collapse a+0"]
    two = HEAD + "par\nhost0 share a+0 4K\nhost1 discard a+0 4K\nswitch host0 to host1 after start 1\nend\n"
    assert Run(name, two).count("host1 waits") == 0
    assert Run(name, two).count("waits for the mmap lock, which host0 holds") == 1


UNMAP: Final = "par\nhost0 unmap {}\n{}\nswitch host0 to {} {}\nend\n"


@pytest.mark.parametrize("name", ["original", "v5.14", *(real_trees() or [TREE])])
def test_readers_run_concurrently_with_munmap(name: str) -> None:
    """munmap() takes the mmap lock for writing, and holds it only for reading once the areas are removed."""
    who = name if name in ("original", "v5.14") else version(name)
    for place in ("before start 2", "after start 2", "after change 2", "after end 2"):
        run = Run(who, HEAD + UNMAP.format("a+0 4K", "cpu0 write a+0", "cpu0", place))
        assert (place, run.violations, run.count("waits for the mmap lock")) == (place, [], 0)
        assert [part.status for part in run.outcomes[0].parts] == ["ok", "efault"]
        run = Run(who, HEAD + UNMAP.format("a+0 4K", "host1 discard a+8K 4K\ncpu0 read a+8K", "host1", place))
        assert (place, run.violations, run.count("waits for the mmap lock")) == (place, [], 0)
        # A writer waits until it is over.
        run = Run(who, HEAD + UNMAP.format("a+0 4K", "host1 share a+8K 4K", "host1", place))
        assert (place, run.violations, run.count("waits for the mmap lock, which host0 holds")) == (place, [], 1)
    # The area, and the huge page at the new boundary, are split while the lock is held for writing.
    split = HEAD.replace("anon", "thp") + UNMAP.format("a+4K 4K", "cpu0 write a+0", "cpu0", "after start 1")
    run = Run(who, split)
    assert (run.violations, run.count("waits for the mmap lock, which host0 holds")) == ([], 1)


@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_each_operation_during_a_fault(name: str) -> None:
    """An unchanged tree has no violation, wherever the fault is interrupted and whatever the host does then."""
    tree = version(name)
    for operation in OPERATIONS:
        for place in PLACES[1:8:2] if operation != "discard a+0 4K" else PLACES:
            run = Run(tree, PAIR.format(operation, f"switch cpu0 to host0 {place}"))
            bad = [each.signature for each in run.violations if "marked accessed, not held" not in each.signature]
            assert (operation, place, bad) == (operation, place, [])


RETRY: Final = "\tif (mmu_invalidate_retry(kvm, mmu_seq)) {\n\t\tret = -EAGAIN;\n\t\tgoto out_unlock;\n\t}\n"
SAMPLE: Final = "\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n\tmmap_read_unlock(current->mm);\n"
UNMAP_RANGE: Final = (
    "\t__unmap_stage2_range(&kvm->arch.mmu, range->start << PAGE_SHIFT,\n"
    "\t\t\t     (range->end - range->start) << PAGE_SHIFT,\n\t\t\t     range->may_block);\n"
)
LOOK_UP: Final = (
    "\tpfn = __gfn_to_pfn_memslot(memslot, gfn, false, false, NULL,\n\t\t\t\t   write_fault, &writable, NULL);\n"
)


def shown(name: str, text: str) -> set[str]:
    """Return the signatures of a version's violations in a program that is clean on the unchanged tree."""
    assert Run(version(TREE), text).violations == []
    return {violation.signature for violation in Run(name, text).violations}


def test_a_removed_retry_check_is_found(tmp_path: Path) -> None:
    name = planted(TREE, tmp_path / "tree", MMU, RETRY, "")
    found = shown(name, LOGGED.format("discard a+0 4K", LOOKED_UP))
    assert any("isolation: " in each for each in found)
    assert any("translation: " in each and "wrong frame" in each for each in found)


def test_pages_are_freed_when_an_operation_is_over(tmp_path: Path) -> None:
    """In a tree that does not unmap, the guest reaches its own page between change and end, another's page later."""
    name = planted(TREE, tmp_path / "tree", MMU, UNMAP_RANGE, "")
    text = HEAD + "cpu0 write a+0\npar\nhost0 discard a+0 4K\ncpu0 read a+0\n{}end\n"
    within = Run(name, text.format("switch host0 to cpu0 after change 1\n"))
    assert any("access to a page that is taken away" in each.signature for each in within.violations)
    assert not any("access to a frame not owned" in each.signature for each in within.violations)
    assert within.outcomes[1].parts[1].value == 1
    behind = Run(name, text.format(""))
    assert any("access to a frame not owned" in each.signature for each in behind.violations)


def test_a_sequence_that_is_sampled_after_the_look_up_is_found(tmp_path: Path) -> None:
    late = "\tmmap_read_unlock(current->mm);\n\n" + LOOK_UP + "\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n"
    name = planted(TREE, tmp_path / "tree", MMU, f"{SAMPLE}\n{LOOK_UP}", late)
    found = shown(name, LOGGED.format("discard a+0 4K", LOOKED_UP))
    assert any("isolation: " in each for each in found)


def test_a_fault_without_progress_yields_to_a_waiting_thread() -> None:
    """The thread waits for the mmu lock that the fault holds; when the fault retries, the thread runs first."""
    text = HEAD.replace("anon", "anon log=on") + (
        "cpu0 read a+4K\npar\ncpu0 write a+0\nhost0 migrate a+0 4K\nswitch cpu0 to host0 before lock 1\n"
        "switch host0 to cpu0 after unlock 1\nswitch cpu0 to host0 before unlock 1\nend\n"
    )
    run = Run(version(TREE), text)
    assert run.violations == []
    assert [part.status for part in run.outcomes[1].parts] == ["ok", "ok"]


def test_a_part_of_a_huge_page_that_is_split_meanwhile_is_released() -> None:
    text = HEAD.replace("anon", "thp") + PAR.format("discard a+8K 4K", "switch cpu0 to host0 after unlock 1").replace(
        "a+0", "a+8K"
    )
    for name in real_trees() or [TREE]:
        assert Run(version(name), text).violations == []


def test_a_dirty_mark_that_one_log_misses_is_in_the_next_one() -> None:
    """A fault marks the page that it has mapped after it drops the lock. Another vCPU writes in between."""
    text = HEAD.replace("anon", "anon log=on") + (
        "cpu1 read a+0\npar\ncpu0 write a+0\ncpu1 write a+0\nuser0 log a get\nswitch cpu0 to cpu1 after unlock 1\n"
        "switch cpu1 to user0 after fault 1\nend\nlog a get\n"
    )
    run = Run(version(TREE), text)
    assert run.violations == []
    assert run.outcomes[2].value_text() == "dirty page 0"


def test_a_change_of_a_slot_waits_for_faults_and_invalidations() -> None:
    head = HEAD.replace("anon", "anon log=on")
    fault = "par\ncpu0 write a+0\nuser0 log a off\nswitch cpu0 to user0 after lookup 1\nend\n"
    assert Run(version(TREE), head + fault).count("waits for the srcu lock, which cpu0 holds") == 1
    host = "par\nhost0 discard a+0 4K\nuser0 log a off\nswitch host0 to user0 after start 1\nend\n"
    for name in real_trees() or [TREE]:
        run = Run(version(name), head + host)
        assert run.violations == []
        assert [part.status for part in run.outcomes[0].parts] == ["ok", "ok"]
    assert Run(version(TREE), head + host).count("waits for another actor") == 1


def test_hardware_runs_between_two_steps() -> None:
    """A CPU walks while the entry is invalid, and finds nothing; then the interrupted thread continues."""
    text = HEAD + (
        "cpu0 read a+0\npar\nhost0 discard a+0 4K\nhw0 cpu1 speculate a+0\ncpu1 read a+4K\n"
        "switch host0 to hw0 after store 1\nend\n"
    )
    run = Run(version(TREE), text)
    assert run.violations == []
    turns = [line.rpartition(" ")[2] for line in run.lines if line.startswith("-- turn")]
    assert turns == ["host0", "hw0", "host0", "cpu1"]


@pytest.mark.parametrize("name", ["original", "v5.14"])
def test_ports_run_threads_too(name: str) -> None:
    """Steps, locks and waits are the same as in trees."""
    run = Run(name, PAIR.format("discard a+0 4K", LOOKED_UP))
    assert run.violations == []
    assert [part.faults for part in run.outcomes[0].parts] == [2, 0]
    for step in STEPS:
        text = HEAD + f"cpu0 read a+0\npar\nhost0 migrate a+0 4K\ncpu0 write a+0\nswitch host0 to cpu0 {step}\nend\n"
        run = Run(name, text)
        assert (step, run.violations, run.outcomes[1].detail) == (step, [], "")
    text = HEAD + "par\nhost0 {}\ncpu0 write a+0\nswitch host0 to cpu0 after start 1\nend\n"
    assert Run(name, text.format("share a+0 4K")).count("waits for the mmap lock, which host0 holds") == 1
    assert Run(name, text.format("discard a+0 4K")).count("mmap lock, which host0 holds") == 0
    head = HEAD.replace("anon", "anon log=on")
    fault = "par\ncpu0 write a+0\nuser0 log a off\nswitch cpu0 to user0 after lookup 1\nend\n"
    assert Run(name, head + fault).count("waits for the srcu lock, which cpu0 holds") == 1


# A page is copied while it is discarded; another vCPU reads it before the invalidation ends.
COPIED: Final = HEAD.replace("anon", "anon log=on") + (
    "host share a+0 4K\ncpu0 read a+4K\npar\nhost0 discard a+0 4K\ncpu0 write a+0\ncpu1 read a+0\n"
    "switch host0 to cpu0 after start 1\nswitch cpu0 to host0 after fault 2\nswitch host0 to cpu1 after change 1\nend\n"
)


def test_a_page_that_is_copied_while_it_is_discarded_stays_mapped_where_change_pte_maps() -> None:
    """The bug C1 of docs/bugs-found.md: the guest reads the freed frame, and may even write it."""
    for name in ("original", "v5.14", *map(version, (each for each in real_trees() if each in ("5.12.9", "6.1")))):
        found = {violation.signature for violation in Run(name, COPIED).violations}
        assert any(each.startswith("isolation: ") for each in found)
        assert any("wrong frame" in each for each in found)
    for name in map(version, (each for each in real_trees() if each in ("6.12", "7.3"))):
        assert Run(name, COPIED).violations == []


def test_a_second_thread_of_user_space_waits_for_the_first() -> None:
    """Each written page is in one log; a page written before the block is in one of the block's two logs."""
    text = HEAD.replace("anon", "anon log=on") + (
        "cpu0 write a+0\npar\nuser0 log a get\nuser1 log a get\ncpu1 write a+4K\n"
        "switch user0 to user1 {}\nend\nlog a get\n"
    )
    for place in ("before lock 1", "after lock 1", "after flush 1", "after unlock 1"):
        for name in real_trees() or [TREE]:
            run = Run(version(name), text.format(place))
            assert (name, place, run.violations) == (name, place, [])
            logs = [*run.outcomes[1].parts[:2], run.outcomes[2]]
            assert "dirty page" in logs[0].value_text()
            assert run.count("waits for a lock, which user0 holds") >= 1
