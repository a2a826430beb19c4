# SPDX-License-Identifier: GPL-2.0-only
"""The readable trace: entries decoded, both sides aligned, the first difference marked."""

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.judging.differential import DIVERGENCE, Differential, Finding
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.reports.sidebyside import EventRow, Section, align, of_interest, record, render
from fuzz.reports.trace import Trace
from fuzz.reports.trace_lines import Line
from reference.events import EVENT_NAMES, Observer
from reference.services.errors import errno_text

ORIGINAL = candidate.get("original")
RFC_V1 = candidate.get("rfc-v1")
HEAD = "s2fuzz 1\nvm\nslot a size=4M backing=thp log=on\n"
MISSING_CLEAN = parse(HEAD + "host write a+0 2M\ncpu0 read a+4K mmu=off\nlog a off\ncpu1 read a+20K mmu=off\n")
SIGNATURE = "dcache: stage2_map_walker: table->block"
FIRST = "the first difference of the two sides"


def shown(program: Program, name: str = "rfc-v1", width: int = 120) -> str:
    """Return the trace of a candidate against the original."""
    patched = candidate.get(name)
    findings = Differential(ORIGINAL, patched).run(program).findings
    return render(record(program, ORIGINAL, patched), ("original", name), findings, width=width)


def line(text: str, violation: str = "") -> Line:
    return Line(text, text, violation)


def test_every_event_has_a_text() -> None:
    assert [name for name in EVENT_NAMES if getattr(Trace, name) is getattr(Observer, name)] == []


def events(program: Program) -> list[str]:
    """Return all events of the original, without creation and destruction."""
    executor = Executor(ORIGINAL, program)
    trace = Trace(executor)
    trace.take(executor.create(), None)
    for at in range(len(program.operations)):
        executor.step(at)
    return [each.text for each in trace.lines]


def test_entries_are_decoded() -> None:
    texts = events(MISSING_CLEAN)
    assert any(text.startswith("L1 0x40000000=a+0: empty -> table@0x") for text in texts)
    assert any(text.startswith("L2 0x40000000=a+0: table@0x") and "-> invalid, was table@0x" in text for text in texts)
    assert any(text.endswith("-> block(2M)@0x100000000 rw- normal-wb, release") for text in texts)
    assert any(text.startswith("L3 0x40001000=a+4K: empty -> page@0x100001000 ") for text in texts)


def test_markers_are_not_taken_for_entries() -> None:
    """Show a locked entry (0x400 in Linux 6.12) as neither a block at address 0 nor a reserved encoding."""
    trace = Trace(Executor(ORIGINAL, MISSING_CLEAN))
    assert [trace.entry_text(0x400, level) for level in (2, 3)] == ["invalid[0x400]"] * 2
    assert trace.entry_text(1 << 60, 2) == f"invalid[{1 << 60:#x}]"
    assert trace.entry_text(0, 3) == "empty"


def test_hyp_entries_are_decoded_as_stage_1() -> None:
    texts = events(parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\nhyp map 2M 0 2M rx\nhyp map 0 1G 4K device\n"))
    assert "L2 hyp 0x200000: empty -> block(2M)@0x0 r-x normal, release" in texts
    assert "L3 hyp 0x0: empty -> page@0x40000000 rw- device-nGnRE, release" in texts
    assert any(text.startswith("walk into table page") and text.endswith("(hyp, L2 at 0x0)") for text in texts)


def test_accesses_show_fault_and_level() -> None:
    texts = events(MISSING_CLEAN)
    assert "cpu1 read 0x40005000=a+20K: translation fault at L3, empty" in texts
    assert "cpu1 read 0x40005000=a+20K: ok at L2, block(2M)@0x100000000 rw- normal-wb" in texts


def test_maintenance_shows_addresses() -> None:
    texts = events(MISSING_CLEAN)
    assert "D-cache clean 2M at 0x100000000" in texts
    assert any(text.startswith("TLB flush of VMID") for text in texts)


def test_operations_are_headings() -> None:
    text = shown(MISSING_CLEAN)
    begin = ("operation ", "creation ", "destruction ")
    headings = [each.split("  [")[0] for each in text.splitlines() if each.startswith(begin)]
    assert headings == [
        "creation of the VM",
        "operation 1: host write a+0 2M",
        "operation 2: cpu0 read a+4K mmu=off",
        "operation 3: log a off",
        "operation 4: cpu1 read a+20K mmu=off",
        "destruction of the VM",
    ]


def test_first_difference_is_marked_once_and_before_all_others() -> None:
    text = shown(MISSING_CLEAN)
    assert text.count(FIRST) == 1
    before, after = text.split(FIRST)
    assert after.splitlines()[1].lstrip().startswith("topup of memory cache 1 to")
    assert after.splitlines()[1].endswith("<")
    assert not [row for row in before.splitlines() if row.endswith(" <") or " > " in row]


def test_violation_stands_on_its_side_after_its_event() -> None:
    rows = [row for section in record(MISSING_CLEAN, ORIGINAL, RFC_V1) for row in section.rows]
    at = next(i for i, row in enumerate(rows) if row.violation.startswith(SIGNATURE))
    assert rows[at].left is None
    event = rows[at - 1].right
    assert event is not None
    assert "-> block(2M)@" in event.text


def test_violation_is_shown_in_the_column_of_its_side() -> None:
    row = next(row for row in shown(MISSING_CLEAN).splitlines() if f"!! {SIGNATURE}" in row)
    assert row[:59].strip() == ""
    assert row[59:].lstrip().startswith("> !! ")


def test_same_version_twice_is_alike() -> None:
    text = shown(MISSING_CLEAN, "original")
    assert FIRST not in text
    assert text.endswith("Both sides did the same, event for event.\n")
    assert "operation 3: log a off  [6 events, alike]" in text


def test_violation_of_both_sides_is_shown_once() -> None:
    program = parse(HEAD + "host write a+0 2M\ncpu0 read a+4K\nlog a off\ncpu0 write a+4K\n")
    text = shown(program, "original")
    assert text.count(f"!! {SIGNATURE}") == 1


@pytest.mark.parametrize("width", [80, 100, 160])
def test_trace_fits_the_width(width: int) -> None:
    assert max(map(len, shown(MISSING_CLEAN, width=width).splitlines())) <= width


def test_width_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = record(MISSING_CLEAN, ORIGINAL, RFC_V1)
    monkeypatch.setenv("COLUMNS", "100")
    assert len(render(sections, ("a", "b")).splitlines()[1]) <= 100
    monkeypatch.setenv("COLUMNS", "1000")
    assert 150 <= len(render(sections, ("a", "b")).splitlines()[1]) <= 160


def test_trace_is_plain_text() -> None:
    assert shown(MISSING_CLEAN).replace("\n", "").isprintable()


def test_trace_does_not_change_the_findings() -> None:
    generator = Generator(5)
    for _ in range(6):
        program = generator.next()
        verdict = Differential(ORIGINAL, RFC_V1).run(program)
        found = {finding.signature for finding in verdict.findings if finding.kind != DIVERGENCE}
        found |= {violation.signature for _, violation in verdict.consequences}
        rows = [row for section in record(program, ORIGINAL, RFC_V1) for row in section.rows]
        assert {row.violation for row in rows} - {""} == found


def test_tables_keep_their_name_when_freed() -> None:
    texts = events(parse(HEAD + "cpu0 read a+0\nhost discard a+0 2M\n"))
    freed = [text for text in texts if text.startswith("free_page: 0 (freed), table page")]
    assert freed
    assert all(text.endswith(" at 0x40000000)") for text in freed)


def test_numbers_of_table_pages_are_no_difference() -> None:
    trace = Trace(Executor(ORIGINAL, MISSING_CLEAN))
    trace.get(7, 2)
    trace.get(9, 2)
    one, other = trace.lines
    assert one.text != other.text
    assert one.key == other.key


def test_alignment_pairs_events_of_both_sides() -> None:
    rows = align([line(text) for text in "abcd"], [line(text) for text in "acxd"])
    pairs = [(row.left and row.left.text, row.right and row.right.text, row.same) for row in rows]
    assert pairs == [
        ("a", "a", True), ("b", None, False), ("c", "c", True), (None, "x", False), ("d", "d", True)
    ]  # fmt: skip


def test_alignment_of_very_many_events_terminates() -> None:
    left = [line("same")] + [line(f"left {i % 7}") for i in range(20_000)]
    right = [line("same")] + [line(f"right {i % 7}") for i in range(20_000)]
    rows = align(left, right)
    assert len(rows) == 40_001
    assert rows[0].same


def test_divergence_shows_its_own_operation() -> None:
    same = EventRow(line("same"), line("same"), True)
    sections = [Section(0, "operation 1", [same, EventRow(line("x"), None, False)])]
    rows = [same, EventRow(line("one"), None, False), EventRow(None, line("two"), False)]
    sections.append(Section(1, "operation 2", rows))
    finding = Finding(DIVERGENCE, "map", "they differ", 1)
    assert of_interest(sections, [finding]) == (1, {1, 3})


def test_violation_alone_is_no_difference_of_events() -> None:
    sections = [Section(0, "operation 1", [EventRow(None, line("!! a", "a"), False)])]
    assert of_interest(sections, []) == (-1, set())


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-11, "-EAGAIN"), (-12, "-ENOMEM"), (-71, "-71"), (12, "12")])
def test_errno_text(value: int, text: str) -> None:
    assert errno_text(value) == text


def test_slots_logs_roots_and_samples_have_a_line() -> None:
    program = parse(HEAD + "cpu0 write a+4K\nlog a get\nlog a off\nslot a delete\n")
    executor = Executor(ORIGINAL, program)
    trace = Trace(executor)
    executor.create()
    for at in range(len(program.operations)):
        executor.step(at)
    executor.destroy()
    texts = [each.text for each in trace.lines]
    order = [
        "root of VMID 1 linked",
        "slots of VMID 1 installed: slot 0, flags 0x1, with a dirty bitmap",
        "notifier sequence sampled: 0",
        "dirty log of slot 0, 1 page(s) from 0x40000000=a+0 on: bits taken",
        "slots of VMID 1 installed: slot 0, flags 0x0, no dirty bitmap",
        "slots of VMID 1 installed: slot 0, flags 0x10000, no dirty bitmap",
        "slots of VMID 1 installed: slot 0, without it",
        "root of VMID 1 unlinked",
    ]
    assert [text for text in texts if text in order] == order


def test_after_copy_on_write_in_a_fault_its_vm_determines_the_slots() -> None:
    """Check this because all VMs are notified of the copy, the last VM last."""
    vms = "vm vms=2 cpus=1\nslot a size=8K backing=anon\nslot b size=8K backing=anon vm=1\n"
    texts = events(parse("s2fuzz 1\n" + vms + "cpu1 read b+0\nhost share a+0 4K\ncpu0 write a+0\ncpu1 write b+4K\n"))
    copied = next(number for number, text in enumerate(texts) if text.startswith("copy-on-write"))
    after = texts[copied:]
    other = next(number for number, text in enumerate(after) if text.startswith("cpu1"))
    assert any(text.startswith("mark_page_dirty 0x40000000=a+0") for text in after[:other])
    assert not [text for text in after[:other] if "=b+" in text]
    assert any(text.startswith("mark_page_dirty ") and "=b+4K" in text for text in after[other:])
