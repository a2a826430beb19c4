# SPDX-License-Identifier: GPL-2.0-only
"""Cost figures count the right events and are reproducible."""

from dataclasses import asdict, fields
from typing import Any

import pytest

import candidate
from candidate import Candidate
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.cost import Comparison, Cost, Costs, Total
from fuzz.judging.differential import Differential
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.reports.report import COSTS, cost_lines
from reference.events import EVENT_NAMES, Observer
from reference.kernel import Kernel
from reference.kvm import kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable, kvm_pgtable_walk_data

ORIGINAL = candidate.get("original")
SLOT = "slot a size=4M backing=anon\n"


def measured(program: Program | str, version: Candidate = ORIGINAL, destroy: bool = True) -> Costs:
    """Return the costs of one side."""
    program = parse("s2fuzz 1\n" + program) if isinstance(program, str) else program
    executor = Executor(version, program)
    cost = Cost(executor)
    executor.create()
    for at in range(len(program.operations)):
        executor.step(at)
    if destroy:
        executor.destroy()
    return cost.totals()


def compared(program: Program, reference: str, candidate_name: str) -> Comparison:
    costs = Differential(candidate.get(reference), candidate.get(candidate_name), measure=True).run(program).costs
    assert costs is not None
    return costs


@pytest.mark.parametrize("name", candidate.names())
def test_the_costs_of_a_version_are_reproducible(name: str) -> None:
    """Compare a version with itself twice: the costs are always the same."""
    generator = Generator(31)
    for _ in range(10):
        program = generator.next()
        costs = compared(program, name, name)
        assert costs.reference == costs.candidate
        assert compared(program, name, name) == costs


def test_measuring_changes_no_finding() -> None:
    generator = Generator(32)
    for _ in range(10):
        program = generator.next()
        plain, measured = (
            Differential(ORIGINAL, candidate.get("rfc-v1"), measure).run(program) for measure in (False, True)
        )
        assert plain.findings == measured.findings
        assert plain.costs is None


class Recorder(Observer):
    """Records the names of all events."""

    def __init__(self) -> None:
        self.names: list[str] = []


def _record(name: str) -> Any:
    def record(self: Recorder, *_: object) -> None:
        self.names.append(name)

    return record


for _name in EVENT_NAMES:
    setattr(Recorder, _name, _record(_name))


def test_every_event_counts_once() -> None:
    generator = Generator(33)
    seen: set[str] = set()
    for _ in range(40):
        program = generator.next()
        executor = Executor(ORIGINAL, program)
        recorder = Recorder()
        executor.side.kernel.observe(recorder)
        cost = Cost(executor)
        executor.create()
        for at in range(len(program.operations)):
            executor.step(at)
        # The cost counts helper calls; instructions of tlb.c are parts of them.
        assert cost.totals().events == len(recorder.names) - recorder.names.count("instruction")
        assert cost.totals().stores == recorder.names.count("store")
        assert cost.totals().tables_walked == recorder.names.count("walk_table")
        seen |= set(recorder.names)
    assert {"store", "tlbi_ipa", "tlbi_vmid", "dcache", "icache", "mark_page_dirty", "alloc", "retry"} <= seen


class Counting(Pgtable):
    """Counts the visits one by one."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.visits = 0

    def __kvm_pgtable_visit__(self, data: kvm_pgtable_walk_data, ptep: int, level: int) -> int:
        self.visits += 1
        return super().__kvm_pgtable_visit__(data, ptep, level)


def test_the_number_of_visited_entries_is_exact() -> None:
    counting = Candidate("counting", Counting, Mmu, "")
    generator = Generator(34)
    for _ in range(40):
        program = generator.next()
        executor = Executor(counting, program)
        cost = Cost(executor)
        executor.create()
        for at in range(len(program.operations)):
            executor.step(at)
            assert cost.totals().entries_visited == visits(executor)
        executor.destroy()
        assert cost.totals().entries_visited == visits(executor) > 0


def visits(executor: Executor) -> int:
    assert isinstance(executor.side.pgtable, Counting)
    return executor.side.pgtable.visits


def test_a_first_touch() -> None:
    costs = measured("vm\n" + SLOT + "cpu0 read a+0\n", destroy=False)
    # The stores are a leaf and the two tables above it; the root has two pages.
    assert (costs.stores, costs.table_pages) == (3, 4)
    assert (costs.faults_translation, costs.faults_permission, costs.faults_access_flag) == (1, 0, 0)
    assert (costs.bytes_cleaned, costs.bytes_invalidated, costs.icache_flushes) == (4096, 0, 0)
    assert (costs.flushes_ipa, costs.flushes_ipa_hint, costs.flushes_vmid, costs.windows) == (0, 0, 0, 0)


def test_an_executable_page_is_invalidated() -> None:
    assert measured("vm\n" + SLOT + "cpu0 fetch a+0\n").bytes_invalidated == 4096


def test_faults_by_kind() -> None:
    costs = measured("vm\n" + SLOT + "cpu0 read a+0\nhost age a+0 4K\ncpu0 read a+0\ncpu0 fetch a+0\n")
    assert (costs.faults_translation, costs.faults_access_flag, costs.faults_permission) == (1, 1, 1)


@pytest.mark.parametrize(("ttl", "plain", "hinted"), [("off", 4, 0), ("on", 0, 4)])
def test_a_level_hint_counts_only_if_the_cpu_supports_it(ttl: str, plain: int, hinted: int) -> None:
    costs = measured(f"vm ttl={ttl}\n" + SLOT + "cpu0 read a+0\ncpu0 read a+4K\nhost discard a+0 8K\n")
    # Two pages are removed, and the two tables that this leaves empty.
    assert (costs.flushes_ipa, costs.flushes_ipa_hint) == (plain, hinted)


def test_flushes_by_range() -> None:
    cost = Cost(Executor(ORIGINAL, parse("s2fuzz 1\nvm\n" + SLOT)))
    cost.tlbi_range(1, 0, 1 << 21)
    assert (cost.totals().flushes_range, cost.totals().events) == (1, 1)


def test_a_final_unmap_is_no_invalid_window() -> None:
    costs = measured("vm\n" + SLOT + "cpu0 read a+0\nhost discard a+0 4K\ncpu0 read a+0\n")
    # The table was freed with the page, so the second touch stores to the same entry of the root.
    assert costs.stores == 3 + 3 + 3
    assert costs.windows == 0


def test_splitting_a_block_has_an_invalid_window() -> None:
    text = "vm\nslot a size=2M backing=thp\ncpu0 read a+0\nlog a on\ncpu0 write a+0\n"
    costs = measured(text)
    # The flush, and the reference of the block.
    assert (costs.windows, costs.window_events, costs.longest_window) == (1, 2, 2)
    assert costs.pages_logged == 1


class MarksReads(Mmu):
    """Marks each mapped page dirty: nothing is lost, but all of it is copied once more."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        self.h.mark_page_dirty(vcpu.kvm, fault_ipa >> self.PAGE_SHIFT)
        return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)


def test_pages_logged_without_a_write_are_a_cost_and_no_finding() -> None:
    text = "s2fuzz 1\nvm vms=2\nslot a size=4M backing=anon log=on\nslot b size=4M backing=anon log=on vm=1\n"
    text += "cpu0 read a+0\ncpu0 write a+4K\ncpu0 read a+8K\nlog a get\ncpu2 read b+0\nlog b get\nlog a get\n"
    marking = Candidate("marking", Pgtable, MarksReads, "")
    verdict = Differential(ORIGINAL, marking, measure=True).run(parse(text))
    assert verdict.costs is not None
    assert (verdict.costs.reference.pages_over_reported, verdict.costs.candidate.pages_over_reported) == (0, 3)
    assert not [kind for kind in verdict.titles() if kind.startswith("regression")]
    assert any(line.startswith("pages logged, not written") for line in cost_lines("cost", verdict.costs, ("a", "b")))


def test_a_crash_ends_measuring_and_is_excluded_from_totals() -> None:
    class Crashing(Mmu):
        def user_mem_abort(self, *_: object) -> int:
            raise ZeroDivisionError

    program = parse("s2fuzz 1\nvm\n" + SLOT + "host write a+0 4K\ncpu0 read a+0\n")
    crashing = Candidate("crashing", Pgtable, Crashing, "")
    costs = Differential(ORIGINAL, crashing, measure=True).run(program).costs
    assert costs is not None
    assert not costs.complete
    total = Total()
    total.add(costs)
    total.add(None)
    assert (total.programs, total.reference, total.candidate) == (0, Costs(), Costs())


def test_totals_add_up_and_keep_the_longest() -> None:
    total = Total()
    for longest, stores in ((3, 10), (5, 1), (4, 0)):
        total.add(Comparison(Costs(stores=stores, longest_window=longest), Costs(stores=1)))
    assert total.programs == 3
    assert (total.reference.stores, total.reference.longest_window) == (11, 5)
    assert (total.candidate.stores, total.candidate.longest_window) == (3, 0)


def test_every_figure_has_a_row() -> None:
    assert list(COSTS) == [field.name for field in fields(Costs)]
    everything = Costs(**dict.fromkeys(asdict(Costs()), 4096))
    assert len(list(cost_lines("cost", Comparison(everything, everything), ("a", "b")))) == 1 + len(COSTS)


def test_the_table_shows_both_sides_and_the_difference() -> None:
    costs = Comparison(Costs(events=7, stores=2, bytes_cleaned=2 << 20), Costs(events=12, stores=2))
    assert list(cost_lines("cost", costs, ("original", "rfc-v1"))) == [
        "cost               original  rfc-v1  difference",
        "events                    7      12          +5",
        "stores to entries         2       2           =",
        "D-cache cleaned          2M       0         -2M",
    ]
