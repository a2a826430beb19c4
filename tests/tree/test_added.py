# SPDX-License-Identifier: GPL-2.0-only
"""Patches that move code into new files: the build compiles these too, and what happens in them counts as before."""

import json
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import PREFIX, TreeError
from candidate.tree.building.plan import BuildSettings
from candidate.tree.building.source import ARM, KVM_MAIN, MAKEFILES, MMU, PGTABLE, TLB, VHE, TreeSource
from candidate.tree.building.symbols import UNKNOWN
from candidate.tree.library import BuiltTree, make
from fuzz.command_line import cli
from fuzz.coverage.exercised import exercise
from fuzz.judging.differential import Differential
from fuzz.judging.verdict import Verdict
from fuzz.language.text import parse
from fuzz.reports.calls import calls_at
from fuzz.reports.report import exercise_lines
from tests.good_bad.case import all_found

from .trees import around, changed, real_tree, version

TREE: Final = "6.12"
FOR_KVM, FOR_HYP, FOR_VHE, FOR_ALL = MAKEFILES
FREE: Final = f"{ARM}/kvm/mmu_free.c"
COUNT: Final = f"{ARM}/kvm/stage2/count.c"
DEEPER: Final = f"{ARM}/kvm/stage2/deeper.c"
FAULT: Final = f"{ARM}/kvm/mmu_fault.c"
WALK: Final = f"{ARM}/kvm/hyp/walk.c"
FLUSH: Final = f"{VHE}flush.c"
CACHE: Final = "virt/kvm/mmu_cache.c"
NEW: Final = (FREE, COUNT, WALK, FLUSH, CACHE)
HEADERS: Final = "".join(
    f"#include <{name}>\n"
    for name in ("linux/kvm_host.h", "asm/kvm_mmu.h", "asm/kvm_pgtable.h", "asm/stage2_pgtable.h")
)
FREEING: Final = "void kvm_free_stage2_pgd(struct kvm_s2_mmu *mmu)\n"
COUNTER: Final = "int kvm_mmu_split_nr_page_tables(u64 range)"
# An instruction that this machine does not have.
CLEAN: Final = '\tasm volatile("dc civac, x0");\n'
PROGRAM: Final = parse(
    "s2fuzz 1\nvm cpus=1 split=2M\nslot a size=4M backing=thp\ncpu0 write a+0\nlog a on\ncpu0 write a+0\n"
    "host discard a+0 4M\n"
)

Files = dict[str, str | None]


def cut(path: str, head: str, end: str = "\n}\n", text: str = "") -> tuple[str, str]:
    """Return a file of the real tree without a part, and that part.

    :param head: the beginning of the part
    :param end: its end
    :param text: the text of the file, if it has been changed
    """
    before, _, after = text.partition(head) if text else around(real_tree(TREE) / path, head)
    part, last, after = after.partition(end)
    assert last
    return before + after, head + part + last


def list_of(makefile: str, *objects: str) -> str:
    """Return a Makefile of the real tree that lists further objects."""
    name = "obj-y" if makefile in (FOR_HYP, FOR_VHE) else "kvm-y"
    return f"{(real_tree(TREE) / makefile).read_text()}\n{name} += {' '.join(objects)}\n"


def moved_count(body: str = "") -> Files:
    """Return the files of a patch that moves `COUNTER` out of mmu.c.

    :param body: the text of the new file, instead of the function
    """
    rest, function = cut(MMU, f"static {COUNTER}\n")
    mmu = rest.replace("static bool need_split", f"{COUNTER};\n\nstatic bool need_split", 1)
    text = f"{HEADERS}\n{COUNTER};\n{body or function.removeprefix('static ')}"
    return {MMU: mmu, COUNT: text, FOR_KVM: list_of(FOR_KVM, "stage2/count.o")}


def moved_free(old: str = "", instead: str = "") -> Files:
    """Return the files of a patch that moves `FREEING` out of mmu.c, and replaces a text of the function."""
    rest, function = cut(MMU, FREEING)
    assert old in function
    return {MMU: rest, FREE: HEADERS + function.replace(old, instead, 1), FOR_KVM: list_of(FOR_KVM, "mmu_free.o")}


def moved_fault() -> Files:
    """Return the files of a patch that moves the handling of faults out of mmu.c."""
    text = (real_tree(TREE) / MMU).read_text()
    includes = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#include"))
    start = text.index("static void kvm_send_hwpoison_signal(")
    end = text.index("\n}\n", text.index("\nint kvm_handle_guest_abort(")) + 3
    files = [text[:start] + text[end:], text[start:end]]
    heads = (
        "bool memslot_is_logging(struct kvm_memory_slot *memslot)",
        "bool kvm_is_device_pfn(unsigned long pfn)",
        "int get_user_mapping_size(struct kvm *kvm, u64 addr)",
        "bool kvm_vma_mte_allowed(struct vm_area_struct *vma)",
    )
    for head in heads:
        assert f"static {head}" in text
        files = [each.replace(f"static {head}", head) for each in files]
    last = includes.splitlines(keepends=True)[-1]
    declared = "".join(f"{head};\n" for head in heads)
    mmu, fault = files[0].replace(last, last + declared, 1), includes + declared + files[1]
    return {MMU: mmu, FAULT: fault, FOR_KVM: list_of(FOR_KVM, "mmu_fault.o")}


def moved_parts() -> Files:
    """Return the files of a patch that moves code out of mmu.c, pgtable.c, tlb.c and kvm_main.c."""
    files = moved_free() | moved_count()
    files[MMU], _ = cut(MMU, FREEING, text=files[MMU] or "")
    pgtable, walking = cut(PGTABLE, "int kvm_pgtable_walk(struct kvm_pgtable *pgt, u64 addr, u64 size,\n")
    inner = "int _kvm_pgtable_walk(struct kvm_pgtable *pgt, struct kvm_pgtable_walk_data *data)"
    assert f"static {inner}" in pgtable
    files[PGTABLE] = pgtable.replace(f"static {inner}", f"{inner};\n{inner}")
    files[WALK] = f"{HEADERS}{cut(PGTABLE, 'struct kvm_pgtable_walk_data {', '};')[1]}\n{inner};\n{walking}"
    files[TLB], flushing = cut(TLB, "void __kvm_tlb_flush_vmid(struct kvm_s2_mmu *mmu)\n")
    files[FLUSH] = around(real_tree(TREE) / TLB, "void __kvm_tlb_flush_vmid_ipa(")[0] + flushing
    files[KVM_MAIN], caching = cut(KVM_MAIN, "#ifdef KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE\n", "\n#endif\n")
    files[CACHE] = HEADERS + caching
    return files | {
        FOR_KVM: list_of(FOR_KVM, "mmu_free.o", "stage2/count.o"),
        FOR_HYP: list_of(FOR_HYP, "walk.o"),
        FOR_VHE: list_of(FOR_VHE, "flush.o"),
        FOR_ALL: list_of(FOR_ALL, "$(KVM)/mmu_cache.o"),
    }


def built(tree: Path) -> BuiltTree:
    """Build a tree without instrumentation."""
    return make(TreeSource(tree), BuildSettings())


def unknown(library: BuiltTree) -> list[str]:
    """Return the symbols that nothing provides."""
    return [name for name, kind in library.record["symbols"].items() if kind == UNKNOWN]


def judged(tree: Path) -> Verdict:
    """Judge `PROGRAM` on the real tree and a copy."""
    return Differential(candidate.get(version(TREE)), candidate.get(f"{PREFIX}{tree}")).run(PROGRAM)


def test_moved_code_does_the_same(tmp_path: Path, common_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Allocations, walks, flushes and caches are reported as before, and the lines of the new files count."""
    tree = changed(real_tree(TREE), tmp_path / "tree", moved_parts())
    verdict = judged(tree)
    assert (verdict.refused, verdict.findings) == ("", [])
    found = exercise(version(TREE), f"{PREFIX}{tree}", verdict.counts)
    assert found is not None
    assert found.uncompiled == sorted(MAKEFILES)
    lines = list(exercise_lines(found))
    assert lines[-1].endswith(" differ: the build takes further files from its lists, but does not count them")
    assert cli.main(["tree", "check", str(tree), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {path for path in answer["files"] if path in NEW} == set(NEW)
    assert (answer["symbols"]["unknown"], answer["failed"]) == ([], {})
    for path in NEW:
        assert path in answer["functions"]
        # One line at least did not run in some of the files, and most did in all of them.
        assert len([each for each in found.missing if each.startswith(path)]) < answer["files"][path] / 4
    assert found.ran > found.lines / 2


def test_moved_code_is_judged_on_its_own(tmp_path: Path, common_cache: Path) -> None:
    """Objects that the new file frees are freed for the checkers too."""
    tree = changed(real_tree(TREE), tmp_path / "tree", moved_parts())
    assert all_found(candidate.get(f"{PREFIX}{tree}"), PROGRAM) == []


def test_a_mistake_in_a_new_file(tmp_path: Path, common_cache: Path) -> None:
    """A finding names its path and line."""
    wrong = "\t\tWARN_ON(pgt);\n"
    right = "\t\tmmu->pgt = NULL;\n"
    tree = changed(real_tree(TREE), tmp_path / "tree", moved_free(right, right + wrong))
    verdict = judged(tree)
    places = [call.place for each in verdict.findings for call in calls_at(each.reason)]
    line = (tree / FREE).read_text().splitlines().index(wrong[:-1]) + 1
    assert f"{FREE}:{line}" in places


def test_a_moved_fault_handler_keeps_its_traits(tmp_path: Path, common_cache: Path) -> None:
    """Checkers require what the code of a tree declares, in whichever file that is."""
    tree = changed(real_tree(TREE), tmp_path / "tree", moved_fault())
    verdict = judged(tree)
    assert (verdict.refused, verdict.findings) == ("", [])
    one, other = candidate.get(version(TREE)).mmu, candidate.get(f"{PREFIX}{tree}").mmu
    for name in ("SAMPLES_UNDER_MMAP", "TELLS_MEMORY_FAULTS", "ACCOUNTS_TABLES"):
        assert getattr(one, name) == getattr(other, name), name


def test_a_new_file_needs_another(tmp_path: Path, common_cache: Path) -> None:
    """The second file is compiled first, as its comment has the name, and is needed only after the first."""
    files = moved_count(f"int deeper(u64);\n{COUNTER}\n{{\n\treturn deeper(range);\n}}\n")
    comment = "/* for kvm_mmu_split_nr_page_tables() */\n"
    files[DEEPER] = f"{HEADERS}{comment}int deeper(u64);\nint deeper(u64 a)\n{{\n\treturn a >> 21;\n}}\n"
    files[FOR_KVM] = list_of(FOR_KVM, "stage2/deeper.o", "stage2/count.o", "stage2/third.o")
    third = f"{ARM}/kvm/stage2/third.c"
    files[third] = "/* kvm_mmu_split_nr_page_tables() and deeper() are elsewhere. */\n"
    made = built(changed(real_tree(TREE), tmp_path / "tree", files))
    assert (made.record["added"], made.record["passed"], unknown(made)) == ([COUNT, DEEPER], [third], [])
    assert {COUNT, DEEPER} <= made.record["unreached"].keys()
    assert third not in made.record["unreached"]


def test_files_that_are_not_needed_are_not_compiled(tmp_path: Path, common_cache: Path) -> None:
    """They may contain anything, and neither they nor the Makefile affect the library."""
    other = f"{ARM}/kvm/other.c"
    files: Files = {other: "#error not for this machine\n", FOR_KVM: list_of(FOR_KVM, "other.o")}
    made = built(changed(real_tree(TREE), tmp_path / "tree", files))
    assert (made.record["added"], made.record["failed"]) == ([], {})
    assert made.library == built(real_tree(TREE)).library


def test_a_known_file_of_another_part_is_not_compiled(tmp_path: Path, common_cache: Path) -> None:
    """A patch that calls a function of arm.c does not pull in the registers of vCPUs."""
    files = moved_count()
    text = files.pop(COUNT)
    guest = f"{ARM}/kvm/guest.c"
    made = built(changed(real_tree(TREE), tmp_path / "tree", files | {guest: text}))
    assert (made.record["added"], unknown(made)) == ([], ["kvm_mmu_split_nr_page_tables"])


def test_a_new_file_for_arm64_only(tmp_path: Path, common_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs that do not call it have a verdict, and `tree check` tells why it is left out."""
    tree = changed(real_tree(TREE), tmp_path / "tree", moved_count(f"{COUNTER}\n{{\n{CLEAN}\treturn 1;\n}}\n"))
    assert "kvm_mmu_split_nr_page_tables" in judged(tree).refused
    assert cli.main(["tree", "check", str(tree)]) == 0
    said = capsys.readouterr().out
    needs = (
        "unknown (a program that calls one has no verdict):\n    kvm_mmu_split_nr_page_tables: "
        f"is in {COUNT}, which is not compiled; arch/arm64/kvm/mmu.c:"
    )
    assert needs in said
    assert f"\nneeded, but does not compile here:\n    {COUNT}: {tree}" in said
    plain = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 read a+0\n")
    verdict = Differential(candidate.get(version(TREE)), candidate.get(f"{PREFIX}{tree}")).run(plain)
    assert (verdict.refused, verdict.findings) == ("", [])
    found = exercise(version(TREE), f"{PREFIX}{tree}", verdict.counts)
    assert found is not None
    assert COUNT in found.uncompiled


def test_a_new_file_that_s2fuzz_calls_does_not_compile(tmp_path: Path, common_cache: Path) -> None:
    files = moved_fault()
    before, name, after = str(files[FAULT]).partition("get_user_mapping_size(kvm")
    assert name
    tree = changed(real_tree(TREE), tmp_path / "tree", files | {FAULT: f"{before}guess_size(kvm{after}"})
    line = before.count("\n") + 1
    with pytest.raises(TreeError, match=f"tree does not compile: {FAULT}:{line}: implicit declaration of .*guess_size"):
        built(tree)
