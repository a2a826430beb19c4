# SPDX-License-Identifier: GPL-2.0-only
"""The exercise of a patch: which of its lines programs reach."""

import json
import shutil
from pathlib import Path

import pytest

import candidate
from candidate.tree import PREFIX, SANITIZE
from candidate.tree.building.source import MMU, NESTED, PGTABLE
from candidate.tree.library import build
from candidate.tree.lines.code import CodeLines, code_lines
from candidate.tree.lines.difference import Exercise
from candidate.tree.runtime.pool import POOL
from fuzz.coverage.exercised import exercise
from fuzz.exit_codes import BAD_INPUT, FINE
from fuzz.judging.differential import Differential
from fuzz.language.text import parse
from fuzz.reports.report import exercise_lines

from .trees import changed, planted, real_tree, version

TREE = "6.12"
HEADER = "arch/arm64/include/asm/kvm_pgtable.h"
# Files that no build compiles: one of KVM, and one that a file of native/ replaces.
TLB = "arch/arm64/kvm/hyp/nvhe/tlb.c"
EXCHANGE = "arch/arm64/include/asm/cmpxchg.h"
TEXT = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\n"
PROGRAM = parse(TEXT)
# Code that maps a page.
WALKER = "\tret = stage2_map_walker_try_leaf(ctx, data);\n\tif (ret != -E2BIG)\n"


def exercised(path: str, text: str, instead: str, folder: Path) -> Exercise:
    """Return how much of one change to a file ran when `PROGRAM` was judged."""
    return exercise_of(planted(TREE, folder / "tree", path, text, instead))


def exercise_of(copy: str) -> Exercise:
    """Return how much of a copy's changes ran when `PROGRAM` was judged."""
    verdict = Differential(candidate.get(version(TREE)), candidate.get(copy)).run(PROGRAM)
    assert verdict.findings == []
    found = exercise(version(TREE), copy, verdict.counts)
    assert found is not None
    return found


def test_a_kconfig_file_is_reported_separately() -> None:
    rules = "arch/arm64/kvm/Kconfig"
    told = f"{rules} differs: the build follows its `select` lines, but does not count them"
    assert list(exercise_lines(Exercise(0, 0, [], [], uncompiled=[rules]))) == [told]
    lines = list(exercise_lines(Exercise(0, 0, [], [], uncompiled=[rules, TLB])))
    assert lines == [f"{TLB} differs, but is not compiled here", told]


def test_a_change_that_runs(tmp_path: Path) -> None:
    found = exercised(PGTABLE, WALKER, WALKER.replace(";\n", ";\n\tif (ret == -1234)\n\t\treturn -EPERM;\n"), tmp_path)
    assert found.exercised
    # The condition ran. The compiler merges its branch with other returns, and nothing took that branch.
    (line,) = [
        at for at, text in enumerate((tmp_path / "tree" / PGTABLE).read_text().split("\n"), 1) if "-EPERM;" in text
    ]
    assert (found.lines, found.ran, found.missing) == (2, 1, [f"{PGTABLE}:{line}"])


@pytest.mark.parametrize(("value", "ran"), [("-E2BIG", 1), ("-EAGAIN", 0)])
def test_another_value_of_a_merged_return(value: str, ran: int, tmp_path: Path) -> None:
    """Count it if a program returned it, not if only its condition ran."""
    source = (real_tree(TREE) / PGTABLE).read_text()
    start = source.index("static int stage2_map_walker_try_leaf(")
    text = f"\t\treturn {value};\n"
    assert f")\n{text}" in source[start:]
    changed_text = source[:start] + source[start:].replace(text, f"\t\treturn ({value});\n", 1)
    copy = f"{PREFIX}{changed(real_tree(TREE), tmp_path / 'tree', {PGTABLE: changed_text})}"
    found = exercise_of(copy)
    assert (found.lines, found.ran, len(found.missing), found.codeless) == (1, ran, 1 - ran, [])


def test_a_line_that_was_removed(tmp_path: Path) -> None:
    found = exercised(MMU, "\ttrace_kvm_access_fault(fault_ipa);\n", "", tmp_path)
    assert found.missing == [] or found.missing[0].endswith(" (removed)")


def test_nothing_reaches_nested_guests(tmp_path: Path) -> None:
    text = "\tlockdep_assert_held_write(&kvm->mmu_lock);\n"
    found = exercised(NESTED, text, f"{text}\tkvm->arch.mmu.vtcr++;\n", tmp_path)
    assert (found.exercised, found.ran) == (False, 0)
    assert found.lines == 1
    assert found.missing[0].startswith(f"{NESTED}:")


def test_comments_do_not_count(tmp_path: Path) -> None:
    found = exercised(PGTABLE, WALKER, f"\t/* Try {{ it;\n\t * now */\n{WALKER}\t\t// now\n", tmp_path)
    assert found == Exercise(0, 0, [], [])
    assert found.exercised


def test_a_macro_counts_by_its_uses(tmp_path: Path) -> None:
    path, text = PGTABLE, "#define KVM_PTE_TYPE\t\t\tBIT(1)\n"
    found = exercised(path, text, "#define KVM_PTE_TYPE\t\t\t(BIT(1))\n", tmp_path)
    assert found.ran
    assert all(PGTABLE in place for place in found.missing)


def test_a_header_counts(tmp_path: Path) -> None:
    text = "\treturn pte & KVM_PTE_VALID;"
    found = exercised(HEADER, text, "\treturn !!(pte & KVM_PTE_VALID);", tmp_path)
    assert (found.lines, found.ran, found.missing) == (1, 1, [])


@pytest.mark.parametrize("path", [TLB, "include/kvm/arm_psci.h", EXCHANGE])
def test_a_file_that_is_not_compiled(path: str, tmp_path: Path) -> None:
    """No program exercises a change to it, but the two trees still differ."""
    source = (real_tree(TREE) / path).read_text()
    line = next(each for each in source.splitlines(keepends=True) if each.startswith("#include"))
    found = exercised(path, line, f"{line}extern int another;\n", tmp_path)
    assert found == Exercise(0, 0, [], [], uncompiled=[path])
    assert (found.differs, found.exercised) == (True, False)
    assert list(exercise_lines(found)) == [f"{path} differs, but is not compiled here"]


def test_a_file_that_is_not_compiled_beside_lines_that_ran(tmp_path: Path) -> None:
    files = {path: (real_tree(TREE) / path).read_text() for path in (PGTABLE, TLB, EXCHANGE)}
    files[PGTABLE] = files[PGTABLE].replace(WALKER, WALKER.replace("ctx, data)", "ctx, (data))"), 1)
    files = {path: text if path == PGTABLE else f"{text}int another;\n" for path, text in files.items()}
    copy = f"{PREFIX}{changed(real_tree(TREE), tmp_path / 'tree', files)}"
    found = exercise_of(copy)
    assert found == Exercise(1, 1, [], [], uncompiled=[EXCHANGE, TLB])
    assert found.exercised
    assert list(exercise_lines(found)) == [
        "1 of 1 differing line ran",
        f"{EXCHANGE}, {TLB} differ, but are not compiled here",
    ]


def test_comments_of_a_file_that_is_not_compiled(tmp_path: Path) -> None:
    text = (real_tree(TREE) / TLB).read_text()
    copy = f"{PREFIX}{changed(real_tree(TREE), tmp_path / 'tree', {TLB: f'{text}/* The end. */'})}"
    found = exercise_of(copy)
    assert found == Exercise(0, 0, [], [])
    assert "both sides run the same code" in next(exercise_lines(found))


def test_code_of_a_disabled_option(tmp_path: Path) -> None:
    """Its lines are listed separately and are not counted."""
    left_out = "\tif (IS_ENABLED(CONFIG_OF_ANOTHER_KERNEL))\n\t\tdsb(ish);\n"
    found = exercised(PGTABLE, WALKER, left_out + WALKER.replace("ctx, data)", "ctx, (data))"), tmp_path)
    source = (tmp_path / "tree" / PGTABLE).read_text()
    first = source[: source.index(left_out)].count("\n") + 1
    # The compiler emits code for a condition, even if it is never true.
    assert found == Exercise(2, 2, [], [f"{PGTABLE}:{first + 1}"])
    assert list(exercise_lines(found)) == [
        "2 of 2 differing lines ran",
        f"no code of their own in this build, so not measured: {PGTABLE}:{first + 1}",
    ]


def test_a_branch_that_the_compiler_merges_with_its_condition(tmp_path: Path) -> None:
    """The branch has instructions but no counter, and counts with its condition; a branch that cannot run does not."""
    text = "\tif (prot & KVM_PGTABLE_PROT_W)\n\t\tset |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W;\n"
    source = (real_tree(TREE) / PGTABLE).read_text()
    start = source.index("int kvm_pgtable_stage2_relax_perms(")
    merged = f"{text}\telse\n\t\tclr |= KVM_PTE_LEAF_ATTR_LO_S2_S2AP_W;\n"
    never = "\tif (!IS_ENABLED(CONFIG_OF_ANOTHER_KERNEL))\n\t\tset |= 0;\n\telse\n\t\tdsb(ish);\n"
    program = parse(f"{TEXT}cpu0 fetch a+0\n")
    for number, (instead, codeless) in enumerate(((merged, []), (never + text, ["dsb(ish)"]))):
        changed_text = source[:start] + source[start:].replace(text, instead, 1)
        copy = f"{PREFIX}{changed(real_tree(TREE), tmp_path / f'tree{number}', {PGTABLE: changed_text})}"
        verdict = Differential(candidate.get(version(TREE)), candidate.get(copy)).run(program)
        found = exercise(version(TREE), copy, verdict.counts)
        assert found is not None
        assert (found.ran, found.missing) == (found.lines, [])
        assert found.lines
        lines = changed_text.split("\n")
        assert [lines[int(place.rpartition(":")[2]) - 1].strip(" \t;") for place in found.codeless] == codeless


def test_builds_with_sanitizers(tmp_path: Path) -> None:
    copy = planted(TREE, tmp_path / "tree", PGTABLE, WALKER, WALKER.replace("ctx, data)", "ctx, (data))")) + SANITIZE
    reference = version(TREE) + SANITIZE
    verdict = Differential(candidate.get(reference), candidate.get(copy)).run(PROGRAM)
    assert exercise(reference, copy, verdict.counts) == Exercise(1, 1, [], [])


def test_a_tree_that_changes_meanwhile(tmp_path: Path) -> None:
    copy = planted(TREE, tmp_path / "tree", PGTABLE, WALKER, WALKER.replace("ctx, data)", "ctx, (data))"))
    verdict = Differential(candidate.get(version(TREE)), candidate.get(copy)).run(PROGRAM)
    with (tmp_path / "tree" / PGTABLE).open("a") as file:
        file.write("int another;\n")
    found = exercise(version(TREE), copy, verdict.counts)
    assert found is not None
    assert found.exercised
    assert list(exercise_lines(found)) == [
        f"it is not known whether the patch ran: {tmp_path}/tree has changed since it was built; run it again"
    ]
    shutil.rmtree(tmp_path / "tree")
    found = exercise(version(TREE), copy, verdict.counts)
    assert found is not None
    assert found.unknown == f"{tmp_path}/tree: no such folder; allowed: the top folder of a Linux tree"


def test_counts_of_a_build_that_is_gone(tmp_path: Path) -> None:
    """Counts from before a change of a tree say nothing about the tree as it is now."""
    copy = planted(TREE, tmp_path / "tree", PGTABLE, WALKER, WALKER.replace("ctx, data)", "ctx, (data))"))
    verdict = Differential(candidate.get(version(TREE)), candidate.get(copy)).run(PROGRAM)
    other = str(real_library().parent.with_name("12-O1-of-another-content") / "tree.so")
    verdict.counts.by_library[other] = bytes(8)
    found = exercise(version(TREE), copy, verdict.counts)
    assert found is not None
    assert "has changed" in found.unknown


def real_library() -> Path:
    return build(real_tree(TREE), plain=True, coverage=True)


def test_lines_of_a_program() -> None:
    """Two runs report the same lines, which are on the program's path."""
    library = str(real_library())
    source = (real_tree(TREE) / PGTABLE).read_text().splitlines()
    first = next(at for at, line in enumerate(source, 1) if line.startswith("static int stage2_map_walk_leaf"))
    end = first + source[first:].index("}")
    seen = []
    for _ in range(2):
        POOL.forget()
        one = candidate.get(version(TREE))
        verdict = Differential(one, one).run(PROGRAM)
        seen.append(code_lines(library).ran(verdict.counts.by_library[library]))
    assert seen[0] == seen[1]
    assert any(first <= line <= end for line in seen[0][PGTABLE])
    # Nothing was unmapped.
    unmap = next(
        at
        for at, line in enumerate(source, 1)
        if line.startswith("static int stage2_wp_walker") or "stage2_attr_walker(" in line
    )
    assert not any(unmap < line < unmap + 8 for line in seen[0][PGTABLE])
    assert CodeLines(Path(library)).lines[PGTABLE] > seen[0][PGTABLE]


LOCKED = "\tlockdep_assert_held_write(&kvm->mmu_lock);\n"


@pytest.mark.parametrize(
    ("path", "text", "instead", "code", "word", "said"),
    [
        (NESTED, LOCKED, f"{LOCKED}\tkvm->arch.mmu.vtcr++;\n", BAD_INPUT, "not exercised", "differing line"),
        (PGTABLE, WALKER, WALKER.replace("ctx, data)", "ctx, (data))"), FINE, "clean", "differing line"),
        (TLB, "\tdsb(ish);\n", "", BAD_INPUT, "not exercised", f"{TLB} differs, but is not compiled here"),
    ],
)
def test_run_fuzz_and_gate_report_the_exercise(
    path: str,
    text: str,
    instead: str,
    code: int,
    word: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from fuzz.command_line.cli import main

    copy = planted(TREE, tmp_path / "tree", path, text, instead)
    program = tmp_path / "p.s2"
    program.write_text(TEXT)
    versions = ["--reference", version(TREE), "--candidate", copy]
    assert main(["run", str(program), *versions, "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == code
    assert [each["verdict"] for each in answer["results"]] == [word]
    assert [each["exercise"]["uncompiled"] for each in answer["results"]] == [[TLB] if path == TLB else []]
    assert main(["run", str(program), *versions]) == code
    text = " ".join(capsys.readouterr().out.split())
    assert said in text
    assert ("the two do not differ" in text) == (word == "clean")
    assert ("both did the same, event for event: no effect of the lines" in text) == (word == "clean")
    budget = ["--programs", "4", "--seed", "3", "--out", str(tmp_path)]
    assert main(["fuzz", *versions, *budget]) == code
    text = " ".join(capsys.readouterr().out.split())
    assert ("not exercised: none of the code" in text) == (word == "not exercised")
    assert ("both did the same, event for event: no effect of the lines" in text) == (word == "clean")
    assert said in text
    assert main(["gate", *versions, "--programs", "4", "--seed", "3"]) == code
    assert said in " ".join(capsys.readouterr().out.replace("\\", "").split())


def test_a_common_finding_is_no_exercise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bug of the reference says nothing about a patch that did not run."""
    from fuzz.command_line.cli import main

    copy = planted(TREE, tmp_path / "tree", TLB, "\tdsb(ish);\n", "")
    program = "corpus/regressions/r1-accessed-not-held.s2"
    assert main(["run", program, "--reference", version(TREE), "--candidate", copy]) == BAD_INPUT
    text = capsys.readouterr().out
    assert text.splitlines()[0].endswith(": common")
    assert "not exercised: none of the code" in text
    assert f"{TLB} differs, but is not compiled here" in text


def test_paths_through_the_code_are_features() -> None:
    """A program that runs more code has features that an earlier program lacks."""
    one = candidate.get(version(TREE))
    differential = Differential(one, one, features=True)
    ways: list[set[int]] = []
    for program in (PROGRAM, parse(f"{TEXT}host discard a+0 4K\ncpu0 write a+4K\n")):
        verdict = differential.run(program)
        ((library, counters),) = verdict.counts.by_library.items()
        ways.append(set(code_lines(library).features(counters)))
        assert ways[-1] <= set(verdict.features)
    assert ways[0] < ways[1]
