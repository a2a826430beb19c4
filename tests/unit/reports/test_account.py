# SPDX-License-Identifier: GPL-2.0-only
"""The account of a finding: it names rule, way, versions and command, in 72 columns, and its program can be run."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import candidate
from fuzz.checkers.places import after
from fuzz.command_line.inputs import read_given
from fuzz.findings.found import CRASH, comments_of
from fuzz.findings.replay import Replayer
from fuzz.judging.differential import Differential
from fuzz.judging.finding import DIVERGENCE, Finding
from fuzz.language.mail import program_part
from fuzz.language.program import Program
from fuzz.language.text import load, parse
from fuzz.reports.account import Account, account_of
from fuzz.reports.account_text import WIDTH, call_lines, markdown, text
from fuzz.reports.calls import KernelCall, calls_at, without_place
from fuzz.reports.seeking import seek
from fuzz.reports.trail import Trail, trail_of

from ..console import HEAD, MISSING_CLEAN, ROOT

DCACHE = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
REGRESSIONS = ROOT / "corpus" / "regressions"


def finding_of(program: Program, reference: str, patched: str, signature: str) -> Finding:
    verdict = Differential(candidate.get(reference), candidate.get(patched)).run(program)
    return next(each for each in verdict.findings if each.signature.startswith(signature))


def account(
    program: Program, patched: str, signature: str, reference: str = "original", comments: dict[str, str] | None = None
) -> Account:
    finding = finding_of(program, reference, patched, signature)
    return account_of("x.s2", program, reference, patched, finding, comments or {})


@pytest.fixture(scope="module")
def missing_clean() -> Account:
    return account(parse(MISSING_CLEAN), "rfc-v1-3", "dcache")


def test_the_account_answers_the_questions_of_a_reviewer(missing_clean: Account) -> None:
    told = " ".join(text(missing_clean).split())
    assert told.startswith("rfc-v1-3 breaks a rule that the original keeps.")
    assert DCACHE in told
    assert "severity: corruption (guest or user space see wrong data, or lose writes)" in told
    assert "reference: original: Linux of early 2021, before RFC v1: " in told
    assert "on a model of the hardware" in told
    # The rule, its importance, the operation, and the leaf.
    assert "host data is clean before a page is first exposed" in told
    assert "A guest that runs with its caches off would read stale memory" in told
    assert "operation 4: cpu1 read a+20K mmu=off" in told
    assert "block(2M)@0x100000000 rw- normal-wb: a block of 2M, readable and writable, normal memory, cached" in told
    assert "In this operation only the original does D-cache clean 2M" in told
    assert "Versions that show it yes: rfc-v1-3, rfc-v1, rfc-v2. no: original, rfc-v1-1, rfc-v1-fixed, " in told
    assert "run --trace --reference original --candidate \\ rfc-v1-3 x.s2" in told


def test_the_calls_on_the_way(missing_clean: Account) -> None:
    trail = missing_clean.trail
    assert trail.exact
    names = [call.function for call in trail.calls]
    assert names[0] == "kvm_handle_guest_abort"
    assert names[1:3] == ["user_mem_abort", "kvm_pgtable_stage2_map"]
    assert names[-1] == "stage2_coalesce_tables_into_block"
    own = [call for call in trail.calls if call.own]
    assert [call.function for call in own] == ["stage2_map_walk_table_pre", "stage2_coalesce_tables_into_block"]
    lines = (ROOT / "candidate" / "rfc_v1_3.py").read_text().splitlines()
    assert own[-1].file == "candidate/rfc_v1_3.py"
    assert "smp_store_release" in lines[own[-1].line - 1]
    assert [call.file for call in trail.calls if not call.own and "candidate" in call.file] == []


def test_the_account_is_plain_and_72_columns_wide(missing_clean: Account) -> None:
    told = text(missing_clean)
    assert max(map(len, told.splitlines())) <= WIDTH
    assert told.isascii()
    assert "\x1b" not in told


def test_the_program_in_the_account_can_be_run(
    missing_clean: Account, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Paste the account in a mail, and quote it in an answer."""
    for number, mark in enumerate(("", "> ")):
        path = tmp_path_factory.mktemp("mail") / "x.mail"
        mail = "".join(f"{mark}{line}\n" for line in text(missing_clean).splitlines())
        path.write_text(f"Hello,\n\n{mail}\nRegards\n")
        given = read_given(str(path))
        assert given.program == missing_clean.program, number
        assert given.comments == {
            "kind": "regression",
            "signature": DCACHE,
            "reference": "original",
            "candidate": "rfc-v1-3",
        }


def test_markdown_has_the_same_content(missing_clean: Account) -> None:
    told = markdown(missing_clean)
    assert told.startswith("## rfc-v1-3 breaks a rule that the original keeps\n")
    for heading in (
        "Finding",
        "Rule",
        "Why it matters",
        "What happened",
        "Versions that show it",
        "Program",
        "See it again",
    ):
        assert f"\n### {heading}\n" in told
    assert "dcache: stage2_map_walker: table->block" in told
    # The program is a code block and can be extracted.
    assert parse(program_part(told)) == missing_clean.program
    assert told.count("```") % 2 == 0


def test_a_known_bug_is_explained() -> None:
    found = account(
        parse(HEAD + "host write a+0 2M\ncpu0 read a+4K\nlog a off\ncpu0 write a+4K\n"), "rfc-v1-3", "dcache"
    )
    told = " ".join(text(found).split())
    assert "rfc-v1-3 breaks a rule, and so does the original." in told
    assert "Known bug X1 of the original" in told
    assert "only the original" not in told


def test_a_version_compared_with_itself_is_named_once() -> None:
    told = " ".join(text(account(load(REGRESSIONS / "b21-table-hint.s2"), "original", "lifetime")).split())
    assert "Versions that were compared both sides: original: Linux of early 2021" in told
    assert "candidate: original: " not in told
    assert "walk caches need not drop the entry, and the table is freed. Fixed upstream: 36e008323926, v6.9. " in told


def test_the_commands_are_the_end_of_the_mail(missing_clean: Account) -> None:
    """Check that each line can be pasted."""
    assert text(missing_clean).endswith(
        "  make venv\n  .venv/bin/s2fuzz run --trace --reference original --candidate \\\n      rfc-v1-3 x.s2\n"
    )


def test_a_cured_finding_is_described_on_the_side_that_shows_it() -> None:
    program = load(REGRESSIONS / "m1-cache-empty.s2")
    found = account(program, "rfc-v1", "memcache")
    assert found.headline == "the original breaks a rule that rfc-v1 keeps"
    assert found.culprit == "original"
    assert found.shows["original"]
    assert not found.shows["rfc-v1"]
    assert not any(call.own for call in found.trail.calls)


def test_a_rule_that_is_judged_later_leads_to_the_code_concerned() -> None:
    program = load(REGRESSIONS / "b05-unmap.s2")
    found = account(program, "rfc-v1-3", "translation")
    assert not found.trail.exact
    assert found.finding.signature.split(": ")[1] in [call.function for call in found.trail.calls]
    assert "at the last event in the function that the finding names." in " ".join(text(found).split())


def test_calls_elsewhere_are_not_said_to_be_in_the_function(missing_clean: Account) -> None:
    """As for a kernel tree, where a checker reports the last store to an entry that another function left as it was."""
    calls = tuple(call for call in missing_clean.trail.calls if call.function != "stage2_map_walker")
    assert calls != missing_clean.trail.calls
    elsewhere = replace(missing_clean, trail=replace(missing_clean.trail, calls=calls, exact=False))
    told = " ".join(text(elsewhere).split())
    assert "the calls are those at the place that the finding names" in told
    assert "in the function that the finding names" not in told


NO_BLOCKS = """\
from candidate import Candidate
from reference.mmu import Mmu
from reference.pgtable import Pgtable


class PgtableSmall(Pgtable):
    def kvm_block_mapping_supported(self, addr, end, phys, level):
        return level == 3


class MmuSmall(Mmu):
    pass


CANDIDATE = Candidate("small", PgtableSmall, MmuSmall, "maps no block")
"""


def test_a_divergence_begins_at_the_first_event_of_one_side_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.py").write_text(NO_BLOCKS)
    program = parse("s2fuzz 1\nvm\nslot a size=2M backing=thp\ncpu0 read a+0\n")
    found = account(program, "./small.py", "map")
    assert found.finding.kind == DIVERGENCE
    assert found.trail.calls[0].function == "kvm_handle_guest_abort"
    assert any("block(2M)" in event for event in found.trail.reference)
    assert any("page@" in event for event in found.trail.candidate)
    assert found.rule is None
    told = " ".join(text(found).split())
    assert "small.py and the original differ, and no rule says which of them is wrong" in told
    assert "This code is not part of s2fuzz; put your own path in its place: ./small.py" in told
    assert found.shows == {"./small.py": True, "original": False} | {
        name: False for name in candidate.names() if name != "original"
    }


def test_the_first_difference_is_shown_if_the_rule_is_judged_at_the_end() -> None:
    """Leak a table: this is seen when the VM is gone, but the reference was not dropped in an earlier operation."""
    program = load(ROOT / "tests" / "data" / "bugs" / "bug-nested-put.s2")
    found = account(program, "bug-nested-put", "leak")
    assert found.finding.at == len(program.operations)
    assert found.trail.apart == 2
    assert any(event.startswith("free_page: 0 (freed)") for event in found.trail.reference)
    assert found.trail.own is not None
    assert found.trail.own.file == "candidate/bugs/nested_put.py"
    assert "Before, at operation 3: cpu0 write a+4K, only the original does" in text(found)


def test_comments_are_those_of_this_finding(missing_clean: Account) -> None:
    """Check that the stamp of another finding is not used, and that digests that differ are reported."""
    program, finding = missing_clean.program, missing_clean.finding
    comments = {"signature": DCACHE, "real": "confirmed on Linux 6.12: it stopped", "code": "old against old"}
    found = Account("x.s2", program, "original", "rfc-v1-3", finding, comments, missing_clean.trail, {})
    assert found.stamp == "confirmed on Linux 6.12: it stopped"
    assert found.changed == ["rfc-v1-3", "original"]
    told = " ".join(text(found).split())
    assert "Confirmed on Linux 6.12: it stopped" in told
    assert "rfc-v1-3 has changed since this was filed" in told
    other = Account("x.s2", program, "original", "rfc-v1-3", finding, {**comments, "signature": "leak: f: a"})
    assert other.stamp == ""


def test_what_a_kernel_tree_is_built_with_may_have_changed(
    missing_clean: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest covers the files of native/, which change while a commit of a tree stays the same."""
    monkeypatch.setattr("fuzz.reports.account.changed", lambda *_: ["tree:linux@123"])
    told = " ".join(text(missing_clean).split())
    assert "tree:linux@123, or what s2fuzz builds it with, has changed since this was filed; this report" in told


def test_text_of_a_mail_is_escaped_for_the_terminal(missing_clean: Account) -> None:
    """Check also that it does not end a block of code."""
    program, finding = missing_clean.program, missing_clean.finding
    comments = {"signature": DCACHE, "real": "confirmed\x1b[2J ```` it"}
    found = account_of("x.s2", program, "original", "rfc-v1-3", finding, comments)
    for told in (text(found), markdown(found)):
        assert "\x1b" not in told
        assert "?[2J" in told or "?\\[2J" in told
    assert "`````text\n# kind" in markdown(found)


def test_an_internal_error_breaks_no_rule() -> None:
    finding = Finding(CRASH, "KeyError in f", "KeyError: 1")
    found = account_of("x.s2", parse(MISSING_CLEAN), "original", "rfc-v1", finding, {})
    told = " ".join(text(found).split())
    assert told.startswith("A mistake of s2fuzz, not of the kernel code.")
    assert "Rule" not in told
    assert "show it" not in told


def test_a_process_without_an_answer_is_reported(missing_clean: Account) -> None:
    trail = seek(missing_clean.program, "original", "rfc-v1-3", missing_clean.finding, seconds=0.01)
    assert trail.unknown
    assert not trail.calls
    failed = seek(missing_clean.program, "original", "no-such-version", missing_clean.finding)
    assert "UnknownCandidateError" in failed.unknown


def test_a_way_survives_json(missing_clean: Account) -> None:
    trail = missing_clean.trail
    assert Trail.from_wire(json.loads(json.dumps(trail.to_wire()))) == trail


def test_calls_of_a_tree_are_read_from_its_place() -> None:
    reason = (
        "no good; at stage2_map_walk_leaf (pgtable.c:812), by user_mem_abort > kvm_pgtable_walk > stage2_map_walk_leaf"
    )
    calls = calls_at(reason)
    assert [call.function for call in calls] == ["user_mem_abort", "kvm_pgtable_walk", "stage2_map_walk_leaf"]
    assert calls[-1].place == "arch/arm64/kvm/hyp/pgtable.c:812"
    assert calls_at("block(2M)@0x100000000 at 0x40000000") == ()


@pytest.mark.parametrize(
    ("meant", "line"),
    [("stage2_unmap_walker", 106), ("stage2_map_walker", 250), ("stage2_free_walker", 250), ("", 250)],
)
def test_of_several_places_the_one_in_the_named_function_is_used(meant: str, line: int) -> None:
    reason = (
        "3 references; at kvm_clear_pte (pgtable.c:106), by stage2_unmap_walker > kvm_clear_pte, where it was written "
        "last, and kvm_host_get_page (mmu.c:250), by stage2_map_walker > kvm_host_get_page, where it was counted last"
    )
    assert calls_at(reason, meant)[-1].line == line


SHARED = "kvm_handle_guest_abort > user_mem_abort > kvm_pgtable_walk > stage2_map_walker"
WRITTEN = f"kvm_set_pte (pgtable.c:106), by {SHARED} > stage2_try_leaf > kvm_set_pte"


@pytest.mark.parametrize(
    ("counted", "text"),
    [
        (
            f"kvm_host_get_page (mmu.c:250), by {SHARED} > kvm_host_get_page",
            "kvm_host_get_page (mmu.c:250), by ... > stage2_map_walker > kvm_host_get_page",
        ),
        (WRITTEN, "kvm_set_pte (pgtable.c:106), by ... > kvm_set_pte"),
        ("f (mmu.c:9), by kvm_handle_guest_abort > user_mem_abort > f", ""),
        ("f (mmu.c:9), by kvm_age_gfn > f", ""),
    ],
)
def test_a_second_place_omits_the_calls_of_the_first_and_loses_none(counted: str, text: str) -> None:
    short = after(counted, WRITTEN)
    assert short == (text or counted)
    reason = f"3 references; at {WRITTEN}, where it was written last, and {short}, where it was counted last"
    assert calls_at(reason) == calls_at(counted)
    assert calls_at(reason, "stage2_try_leaf") == calls_at(WRITTEN if "kvm_set_pte" not in counted else counted)


@pytest.mark.parametrize("behind", ["", "; before it, in the same program: refcount: f: too few references L1"])
def test_a_reason_without_its_place_keeps_the_words_after_it(behind: str) -> None:
    place = "; at stage2_map_walk_leaf (pgtable.c:812), by user_mem_abort > stage2_map_walk_leaf"
    assert without_place(f"no good{place}{behind}") == f"no good{behind}"
    assert calls_at(f"no good{place}{behind}")[-1].line == 812


def test_rounds_of_a_recursion_are_shown_once() -> None:
    names = ["walk", "visit", "walk", "visit", "walker"]
    lines = call_lines(tuple(KernelCall(name, "f.c", at) for at, name in enumerate(names, 1)))
    assert [re.split(" +", line.strip()) for line in lines] == [
        ["walk", "f.c:3"],
        ["visit", "f.c:4"],
        ["walker", "f.c:5"],
    ]


def test_a_place_that_is_too_wide_is_shown_below() -> None:
    far = KernelCall("a_function_with_a_name_that_is_rather_long", "arch/arm64/kvm/hyp/pgtable.c", 830)
    assert call_lines((KernelCall("f", "g.c", 1), KernelCall("h"), far)) == [
        f"  {'f':<42}  g.c:1",
        "  h",
        f"  {far.function}",
        "      arch/arm64/kvm/hyp/pgtable.c:830",
    ]
    assert max(map(len, call_lines((far,)))) <= WIDTH - 2


def test_events_of_one_side_never_occur_on_the_other() -> None:
    program = parse(MISSING_CLEAN)
    finding = finding_of(program, "original", "rfc-v1-3", "dcache")
    same = trail_of(program, candidate.get("rfc-v1-3"), candidate.get("rfc-v1-3"), finding)
    assert (same.reference, same.candidate) == ([], [])
    with Replayer() as replayer:
        assert finding in replayer.shows(MISSING_CLEAN, "original", "rfc-v1-3")


def test_comments_may_continue_on_the_next_line() -> None:
    told = "# signature: dcache: f: a\n#   thing L2\n# note\n#   aside\ns2fuzz 1\n"
    assert comments_of(told) == {"signature": "dcache: f: a thing L2"}
