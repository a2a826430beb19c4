# SPDX-License-Identifier: GPL-2.0-only
"""Programs determine which known bugs a kernel tree has; these bugs explain findings on the tree."""

import json
from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree import facts
from candidate.tree.building.source import MMU, PGTABLE, TreeSource
from fuzz.command_line import cli
from fuzz.findings.found import known_of, known_text
from fuzz.judging.differential import COMMON, REGRESSION, Differential, Lockstep
from fuzz.judging.known import known_bugs, program_of
from fuzz.judging.predicates import GONE
from fuzz.judging.versions_with_bug import bug_run, has_bug
from fuzz.language.text import load, parse

from .trees import planted, real_tree, version

IDS: Final = list(dict.fromkeys(bug.id for bug in known_bugs()))
# By release, since stable kernels get fixes: V1 and V2 were fixed between these two releases of 6.1.
HAVE: Final = {
    "5.12.9": {"C1", "C2", "X1", "X2", "X3", "B21", "A1", "M1", "M2", "M3", "P1", "A2", "S1", "R1", "O1"},
    "6.1.176": {"C1", "A1", "M1", "M3", "P1", "A2", "R1", "V1", "V2", "F1", "T2", "T3"},
    "6.1.192": {"C1", "A1", "M1", "M3", "P1", "A2", "R1", "F1", "T2", "T3"},
    "6.12.117": {"F1", "D1", "D2", "N1", "M1", "M3", "P1", "R1", "U1", "T2"},
    "7.3.4": {"F1", "D1", "D2", "N1", "M3", "P1", "U1", "T1", "T2"},
}


@pytest.mark.parametrize("name", ["5.12.9", "6.1", "6.12", "7.3"])
def test_programs_determine_the_bugs_of_a_tree(name: str) -> None:
    release = facts.version(TreeSource(real_tree(name)))
    tree = candidate.get(version(name))
    found = {bug for bug in IDS if bug_run(tree, bug).signature}
    if release in HAVE:
        assert found == HAVE[release]
    else:
        # A later release may have more fixes, but no new bugs.
        assert found <= set().union(*(bugs for each, bugs in HAVE.items() if each.startswith(f"{name}.")))
    assert not any(bug_run(tree, bug).refused for bug in IDS)
    assert {bug.id for bug in known_bugs() if has_bug(tree, bug)} == found


def test_the_same_bug_in_two_trees_is_common_and_explained() -> None:
    reference, other = version("6.1"), version("6.12")
    verdict = Differential(candidate.get(reference), candidate.get(other)).run(load(program_of("P1")))
    assert [each.kind for each in verdict.findings] == [COMMON]
    known = known_of(verdict.findings[0], reference)
    assert known is not None
    assert known.id == "P1"
    assert known_text(verdict.findings[0], reference).startswith(f"known bug P1 of {reference}: ")


def test_a_bug_that_only_the_candidate_has_is_a_regression() -> None:
    reference, other = version("7.3"), version("6.12")
    verdict = Differential(candidate.get(reference), candidate.get(other)).run(load(program_of("M1")))
    assert REGRESSION in [each.kind for each in verdict.findings if each.signature.startswith("memcache: ")]


def test_a_bug_whose_condition_is_a_walk(tmp_path: Path) -> None:
    """B05: the walked range begins inside an entry."""
    rounds = "\t\tdata->addr = ALIGN_DOWN(data->addr, kvm_granule_size(level));\n"
    copy = candidate.get(planted("5.12.9", tmp_path / "tree", PGTABLE, rounds, ""))
    assert bug_run(copy, "B05").signature.startswith("translation: ")
    assert bug_run(candidate.get(version("5.12.9")), "B05").signature == ""


def test_a_near_miss_of_a_bug_that_only_trees_have(tmp_path: Path) -> None:
    """U1: a flush that is too short for a range of whole pages."""
    flush = "stage2_unmap_defer_tlb_flush(pgt))\n\t\t/* Perform the deferred TLB invalidations */\n\t\t"
    whole = "kvm_tlb_flush_vmid_range(pgt->mmu, addr, size);"
    name, copy = (
        version("6.12"),
        planted("6.12", tmp_path / "tree", PGTABLE, flush + whole, flush + whole.replace("size", "size - PAGE_SIZE")),
    )
    part = load(program_of("U1"))
    verdict = Differential(candidate.get(name), candidate.get(name)).run(part)
    assert [each.known for each in verdict.findings] == ["U1"]
    pages = parse(
        "s2fuzz 1\nvm cpus=1 fwb=on range=on\nslot a size=8K backing=anon\ncpu0 read a+4K\ntable unmap a+0 8K\n"
    )
    verdict = Differential(candidate.get(name), candidate.get(copy)).run(pages)
    assert [(each.kind, each.known) for each in verdict.findings if each.signature.startswith("tlb: ")] == [
        (REGRESSION, "")
    ]


def test_a_known_bug_explains_only_its_own_pages(tmp_path: Path) -> None:
    """U1 leaves only the last page in the TLBs; if other pages stay there too, that is another bug."""
    flush = "kvm_tlb_flush_vmid_range(pgt->mmu, addr, size);\n\n\treturn ret;"
    name, copy = version("6.12"), planted("6.12", tmp_path / "tree", PGTABLE, flush, ";\n\n\treturn ret;")
    # A remaining mapping keeps the tables; their flush would cover a page.
    pages = "slot a size=12K backing=anon\ncpu0 read a+0\ncpu0 read a+4K\ncpu0 read a+8K\n"
    block = "slot a size=4M backing=thp\ncpu0 read a+0\ncpu0 read a+2M\n"
    for text, known in ((pages, {"", "U1"}), (block, {""})):
        program = parse(f"s2fuzz 1\nvm cpus=1 fwb=on range=on\n{text}table unmap a+4K 0x1001\n")
        verdict = Differential(candidate.get(name), candidate.get(copy)).run(program)
        assert {each.known for each in verdict.findings if each.signature.startswith("tlb: ")} == known
        assert REGRESSION in [each.kind for each in verdict.findings]


def test_a_patch_that_cures_a_bug_is_seen(tmp_path: Path) -> None:
    """The release of the tree does not matter: it stays the same."""
    condition = "\tif (!fault_is_perm || (logging_active && write_fault)) {"
    copy = candidate.get(planted("6.12", tmp_path / "tree", MMU, condition, "\tif (1) {"))
    assert bug_run(copy, "M1").signature == ""
    assert bug_run(copy, "P1").signature != ""


def test_an_unmodelled_function_gives_no_answer(tmp_path: Path) -> None:
    place = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup"
    copy = planted("6.12", tmp_path / "tree", MMU, place, "\tmemunmap(NULL);\n" + place)
    assert bug_run(candidate.get(copy), "P1") == ("", "memunmap")


def test_tree_check_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    tree = str(real_tree("6.12"))
    have = {bug for bug in IDS if bug_run(candidate.get(version("6.12")), bug).signature}
    assert cli.main(["tree", "check", tree]) == 0
    out = capsys.readouterr().out
    assert "    has P1: A 1G hugetlb page " in out
    assert "[corpus/regressions/livelock-two-levels.s2]" in out
    assert f"    does not show {' '.join(bug for bug in IDS if bug not in have)}\n" in out
    assert cli.main(["tree", "check", tree, "--json"]) == 0
    bugs = json.loads(capsys.readouterr().out)["bugs"]
    assert [each["id"] for each in bugs] == IDS
    assert {each["id"] for each in bugs if each["signature"]} == have


# Both vCPUs hold the mmu lock for reading: the walk of the first one reaches what the second one maps.
BESIDE_A_READER: Final = """\
s2fuzz 1
vm ipa=50 pa=52
slot a ipa=1G size=2M backing=thp
slot b ipa=2G size=4K backing=anon
cpu0 read b+0
cpu0 read a+0
host age a+0 4K
par
  cpu0 read a+320K
  host0 discard a+0 4K
  cpu1 read a+320K
  switch cpu0 to host0 before lock 1
  switch host0 to cpu1 before store 1
  switch cpu1 to cpu0 after load 1
end
"""


def test_the_marked_page_is_the_one_that_the_walk_reaches() -> None:
    """R1: another vCPU has mapped the page again since the handler took the lock."""
    tree = candidate.get(version("6.12"))
    marked = Differential(tree, tree).run(parse(BESIDE_A_READER)).findings
    assert [each.known for each in marked] == ["R1"]
    assert marked[0].signature.startswith("page-reference: ")


BESIDE_A_RELAXING_FAULT: Final = """\
s2fuzz 1
vm
slot a size=2M backing=thp log=on
cpu0 read a+0
par
  cpu0 fetch a+0
  user0 log a off
  cpu1 read a+8K
  switch cpu0 to user0 before lock 1
  switch cpu1 to cpu0 before cmpxchg 1
  switch cpu0 to cpu1 after lock 1
end
"""
BREAKS_ITS_OWN: Final = """\
s2fuzz 1
vm
slot a size=2M backing=thp log=on
slot b ipa=2G size=4K backing=anon
cpu0 read a+0
log a off
par
  cpu0 write a+0
  cpu1 read b+0
  switch cpu0 to cpu1 before flush 1
  switch cpu1 to cpu0 after lock 1
end
"""


@pytest.mark.parametrize(("text", "gone"), [(BESIDE_A_RELAXING_FAULT, True), (BREAKS_ITS_OWN, False)])
def test_a_leaf_that_others_change_under_the_lock_is_gone(text: str, gone: bool) -> None:
    """A leaf that the handler itself removes does not count."""
    tree, program = candidate.get(version("6.12")), parse(text)
    steps = Lockstep(Differential(tree, tree), program)
    for at in range(len(program.operations)):
        steps.step(at)
    assert steps.notes == []
    assert (GONE in steps.conditions[0].now) == gone
    for side in (steps.left, steps.right):
        side.dismantle()


def like(what: str, tree: str, copy: str, text: str) -> list[tuple[str, str]]:
    """Return class and known bug of the findings of a changed copy of a tree whose signatures contain *what*."""
    verdict = Differential(candidate.get(version(tree)), candidate.get(copy)).run(parse(text))
    return [(each.kind, each.known) for each in verdict.findings if what in each.signature]


def test_a_near_miss_of_the_bug_of_a_block_that_is_split(tmp_path: Path) -> None:
    """D2: nothing is marked dirty, but no other actor has replaced the leaf."""
    marks = "\tif (writable && !ret) {\n\t\tkvm_set_pfn_dirty(pfn);\n"
    copy = planted("6.12", tmp_path / "tree", MMU, marks, marks.replace("!ret", "!ret && exec_fault"))
    alone = "s2fuzz 1\nvm\nslot a size=2M backing=thp\npar\ncpu0 read a+0\ncpu1 read a+4K\nend\n"
    assert like("not marked dirty", "6.12", copy, alone) == [(REGRESSION, "")]


def test_a_near_miss_of_the_bug_of_an_abort_beyond_the_address_space(tmp_path: Path) -> None:
    """F1: an abort for a walk outside of any slot also has a wrong address."""
    right = "\t\t\tkvm_inject_dabt(vcpu, kvm_vcpu_get_hfar(vcpu));\n"
    copy = planted("6.12", tmp_path / "tree", MMU, right, right.replace("kvm_vcpu_get_hfar(vcpu)", "fault_ipa"))
    text = "s2fuzz 1\nvm cpus=1\nslot a size=4K backing=anon\nslot a delete\ncpu0 walk a+0\n"
    assert like("another address", "6.12", copy, text) == [(REGRESSION, "")]


def test_a_near_miss_of_the_bug_of_another_address(tmp_path: Path) -> None:
    """F1: the address reported to the guest is neither of the two addresses of the access."""
    wrong = "\t\t\tkvm_inject_dabt(vcpu, fault_ipa);\n"
    copy = planted("6.12", tmp_path / "tree", MMU, wrong, wrong.replace("fault_ipa", "0"))
    text = "s2fuzz 1\nvm ipa=36 cpus=1\nslot a size=4K backing=anon\ncpu0 outside read 64G\n"
    assert REGRESSION in {kind for kind, _ in like("another address", "6.12", copy, text)}


def test_a_near_miss_of_the_bug_of_hugetlb_with_tags(tmp_path: Path) -> None:
    """T1: the page is not yet marked as tagged, and only one part of it is cleared."""
    right = "\t\t\tfor (i = 0; i < nr_pages; i++, page++)\n\t\t\t\tmte_clear_page_tags(page_address(page));\n"
    copy = planted("7.3", tmp_path / "tree", MMU, right, "\t\t\tmte_clear_page_tags(page_address(page));\n")
    text = "s2fuzz 1\nvm cpus=1 mte=on\nslot a ipa=1G size=2M backing=hugetlb2m\ncpu0 read a+0\n"
    assert [kind for kind, _ in like("tags not cleared", "7.3", copy, text)] == [REGRESSION]


def test_a_near_miss_of_the_bug_of_tags_cleared_twice(tmp_path: Path) -> None:
    """T3: one VM clears the tags of its page at each fault."""
    copy = planted("6.1", tmp_path / "tree", MMU, "if (!page_mte_tagged(page)) {", "{")
    text = "s2fuzz 1\nvm cpus=1 mte=on\nslot a size=4K backing=anon\ncpu0 read a+0\ntable unmap a+0 4K\ncpu0 read a+0\n"
    assert like("tags cleared again", "6.1", copy, text) == [(REGRESSION, "")]


def test_a_permission_fault_that_maps_a_block_may_lose_it_too() -> None:
    """D2: the block replaces a table."""
    text = (
        "s2fuzz 1\nvm\nslot a size=2M backing=thp log=on\ncpu0 read a+0\nlog a off\npar\n  cpu1 write a+4K\n"
        "  cpu0 write a+0\n  user0 log a on\n  switch cpu1 to cpu0 after fault 1\n"
        "  switch cpu0 to user0 after store 1\nend\n"
    )
    tree = candidate.get(version("6.12"))
    found = Differential(tree, tree).run(parse(text)).findings
    assert {each.known for each in found} == {"D2"}
    assert all("after a permission fault" in each.signature for each in found)


def test_a_near_miss_of_the_bug_of_rings_without_bitmaps(tmp_path: Path) -> None:
    """D1: a write that is not logged maps a block, although the VM has bitmaps."""
    right = "return memslot->dirty_bitmap && "
    copy = planted("6.12", tmp_path / "tree", MMU, right, f"{right}!memslot->dirty_bitmap && ")
    text = "s2fuzz 1\nvm cpus=1 ring=4K bitmap=on\nslot a size=2M backing=thp log=on\ncpu0 write a+0\n"
    assert like("not in the dirty log", "6.12", copy, text) == [(REGRESSION, "")]
