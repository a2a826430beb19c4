# SPDX-License-Identifier: GPL-2.0-only
"""Slots backed by a guest_memfd, with the tree's own guest_memfd.c."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building import probes
from candidate.tree.building.source import GUEST_MEMFD, MMU, TreeSource
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import load, parse

from ..good_bad.case import all_found
from .fidelity import Stream
from .runs import trace, violations
from .trees import planted, real_tree, real_trees, version

SEED: Final = load(Path(__file__).parents[2] / "corpus" / "seeds" / "guest-memfd.s2")
# A page that both vCPUs access, and that is then discarded.
HOLE: Final = parse(
    "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=memfd\ncpu0 write a+0\ncpu1 read a+0\n"
    "host discard a+0 4K\ncpu1 read a+0\n"
)
# The same in a slot at an offset in its file.
FAR: Final = parse(
    "s2fuzz 1\nvm cpus=2\nslot a size=4M backing=memfd offset=8M\ncpu0 write a+2M\ncpu1 read a+2M\n"
    "host discard a+2M 4K\ncpu1 read a+2M\nhost poison a+2M\ncpu0 read a+2M\n"
)
UNMAP: Final = "\t\tflush |= kvm_mmu_unmap_gfn_range(kvm, &gfn_range);"
BEGIN: Final = "\t\t\tkvm_mmu_invalidate_start(kvm);\n"
# Code of gmem_abort().
RETRY: Final = (
    "\tif (mmu_invalidate_retry(kvm, mmu_seq)) {\n\t\tret = -EAGAIN;\n\t\tgoto out_unlock;\n\t}\n\n"
    "\tif (perm_fault) {\n\t\t/*"
)


def memfd_tree() -> str:
    """Return a tree whose arm64 has guest_memfd; skip the test if none is available."""
    for name in real_trees():
        if "HAVE_GUEST_MEMFD" in probes.found(TreeSource(real_tree(name))):
            return name
    pytest.skip("needs a kernel tree whose arm64 has guest_memfd")


def test_a_tree_with_it_runs_the_seed() -> None:
    name = version(memfd_tree())
    assert violations(name, SEED) == []
    assert Differential(candidate.get(name), candidate.get(name)).run(SEED).findings == []


def test_a_hole() -> None:
    steps = Stream(version(memfd_tree()), HOLE).steps
    (_, written, _), (_, gone, events), (_, read, again) = steps[1], steps[3], steps[4]
    assert (written, gone) == ("ok 0", "ok 0")
    names = [event[0] for event in events]
    # The notifier count is raised before the page is removed, and the sequence afterwards.
    assert names.index("seq") < names.index("store") < names.index("tlbi_ipa") < len(names) - names[::-1].index("seq")
    assert names.count("seq") == 2
    # The code reads the count that it raises. That is no check for a retry, and no sample.
    assert not {"retry", "sample"} & set(names)
    # No notifier ran: the host's own pages stay.
    assert "host_update" not in names
    # A new page, without the contents of the old one.
    assert read == "ok 0"
    assert [event[0] for event in again].count("pin") == 1


def test_there_is_no_page_before_the_first_touch() -> None:
    lines = trace(version(memfd_tree()), parse("s2fuzz 1\nvm\nslot a size=2M backing=memfd\ncpu0 read a+8K\n"))
    assert len([line for line in lines if line.startswith("pin frame")]) == 1
    assert not any("find_vma" in line for line in lines[lines.index("lock srcu") :])


def test_memory_that_fails_is_gone_until_a_hole_is_punched() -> None:
    text = "cpu0 write a+0\nhost poison a+0\ncpu0 read a+0\nhost discard a+0 4K\ncpu0 read a+0\n"
    program = parse(f"s2fuzz 1\nvm\nslot a size=2M backing=memfd\n{text}")
    name = version(memfd_tree())
    steps = Stream(name, program).steps
    assert [step[1] for step in steps[1:-1]] == ["ok 0", "ok 0", "efault EHWPOISON", "ok 0", "ok 0"]
    assert [event[0] for event in steps[2][2]].count("seq") == 2
    assert violations(name, program) == []


@pytest.mark.parametrize("name", ["5.12.9", "6.1", "6.12"])
def test_a_tree_without_it_has_no_verdict(name: str) -> None:
    assert Stream(version(name), HOLE).refused == f"guest_memfd (backing=memfd), which {version(name)} does not have"


@pytest.mark.parametrize(
    ("path", "text", "instead", "signature"),
    [
        pytest.param(
            GUEST_MEMFD,
            UNMAP,
            "",
            "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3",
            id="the guest keeps its page",
        ),
        pytest.param(
            GUEST_MEMFD,
            BEGIN,
            "",
            "fault-order: kvm_mmu_notifier_invalidate_range_start: unmapped before the notifier count was raised",
            id="no invalidation is begun",
        ),
        pytest.param(
            MMU,
            RETRY,
            "\tif (perm_fault) {\n\t\t/*",
            "fault-order: kvm_handle_guest_abort: mapped without mmu_notifier_retry() after a translation fault",
            id="no retry is asked for",
        ),
    ],
)
def test_a_planted_mistake(tmp_path: Path, path: str, text: str, instead: str, signature: str) -> None:
    name = planted(memfd_tree(), tmp_path / "tree", path, text, instead)
    assert signature in violations(name, HOLE)


def test_a_page_that_stays_mapped_in_a_par_block(tmp_path: Path) -> None:
    """In a par block too, the page is judged after the call should have unmapped it."""
    kept = "bool kvm_unmap_gfn_range(struct kvm *kvm, struct kvm_gfn_range *range)\n{\n"
    name = planted(
        memfd_tree(), tmp_path / "tree", MMU, kept, f"{kept}\tif (kvm_slot_has_gmem(range->slot))\n\t\treturn false;\n"
    )
    block = "par\ncpu0 read a+0\nhost0 discard a+0 4K\nend\n"
    beside = parse(f"s2fuzz 1\nvm cpus=2\nslot a size=64K backing=memfd\ncpu0 write a+0\n{block}")
    assert "translation: kvm_gmem_fallocate: still mapped after invalidation L3" in violations(name, beside)
    assert violations(version(memfd_tree()), beside) == []


EARLY: Final = "fault-order: kvm_gmem_fallocate: page left the guest_memfd before it was unmapped"


def test_a_page_leaves_the_file_after_it_was_unmapped(tmp_path: Path) -> None:
    start = "\tkvm_gmem_invalidate_start(inode, start, end);\n\n"
    lose = "\ttruncate_inode_pages_range(inode->i_mapping, offset, offset + len - 1);\n\n"
    name = planted("7.3", tmp_path / "tree", GUEST_MEMFD, start + lose, lose + start)
    found = all_found(candidate.get(name), HOLE)
    assert [each.signature for each in found] == [EARLY]
    assert "; at kvm_gmem_punch_hole (guest_memfd.c:" in found[0].reason
    # No vCPU has touched the page that leaves the file.
    apart = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 write a+0\nhost discard a+4K 8K\n")
    assert violations(name, apart) == []


@pytest.mark.parametrize(
    "place", ["before start 1", "before lock 1", "after unlock 1", "before lock 2", "before end 1"]
)
@pytest.mark.parametrize("vcpu", ["after lookup 1", "before lock 1", "after unlock 1"])
def test_a_hole_beside_a_fault(place: str, vcpu: str) -> None:
    """A fault that has found the page retries, or maps it before it is unmapped."""
    block = (
        f"par\ncpu0 write a+0\nhost0 discard a+0 8K\nswitch cpu0 to host0 {vcpu}\nswitch host0 to cpu0 {place}\nend\n"
    )
    program = parse(f"s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 read a+4K\n{block}cpu0 read a+0\n")
    assert violations(version("7.3"), program) == []


def test_a_page_that_fails_is_unmapped(tmp_path: Path) -> None:
    """It stays in the file, so only the tables must lose it."""
    start = "\tkvm_gmem_invalidate_start(mapping->host, start, end);\n"
    name = planted("7.3", tmp_path / "tree", GUEST_MEMFD, start, "\tkvm_gmem_invalidate_start(mapping->host, 0, 0);\n")
    failing = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 write a+0\nhost poison a+0\n")
    found = violations(name, failing)
    assert "translation: stage2_unmap_walker: still mapped after invalidation L3" in found
    assert EARLY not in found


# Mistakes in the offset of a slot in its file.
PLACES: Final = {
    "look-up": (
        "return gfn - slot->base_gfn + slot->gmem.pgoff;",
        "return gfn - slot->base_gfn;",
        "contract: kvm_handle_guest_abort: error -5",
    ),
    "start of the hole": (
        "slot->base_gfn + max(pgoff, start) - pgoff",
        "slot->base_gfn + max(pgoff, start)",
        "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3",
    ),
    "end of the hole": (
        "slot->base_gfn + min(pgoff + slot->npages, end) - pgoff",
        "slot->base_gfn + min(slot->npages, end - pgoff) - pgoff",
        "isolation: kvm_handle_guest_abort: access to a frame not owned, through the TLB L3",
    ),
}


@pytest.mark.parametrize("what", PLACES)
def test_a_slot_somewhere_in_its_file(what: str, tmp_path: Path) -> None:
    text, instead, signature = PLACES[what]
    name = planted(memfd_tree(), tmp_path / "tree", GUEST_MEMFD, text, instead)
    assert violations(version(memfd_tree()), FAR) == []
    assert signature in violations(name, FAR)
    # The code is right if the offset is 0.
    assert violations(name, HOLE) == []


# Mistakes in the exit that tells user space about a failed page.
TOLD = {
    "nothing": (
        (
            "\t\tkvm_prepare_memory_fault_exit(s2fd->vcpu, s2fd->fault_ipa, PAGE_SIZE,\n"
            "\t\t\t\t\t      write_fault, exec_fault, false);\n"
        ),
        "",
        "no memory fault exit",
    ),
    "another address": (
        "kvm_prepare_memory_fault_exit(s2fd->vcpu, s2fd->fault_ipa, PAGE_SIZE,",
        "kvm_prepare_memory_fault_exit(s2fd->vcpu, s2fd->fault_ipa + PAGE_SIZE, PAGE_SIZE,",
        "memory fault at another address",
    ),
}


@pytest.mark.parametrize("what", TOLD)
def test_user_space_receives_the_address_of_a_failed_page(what: str, tmp_path: Path) -> None:
    text, instead, called = TOLD[what]
    ours = candidate.get(version("7.3"))
    theirs = candidate.get(planted("7.3", tmp_path / "tree", MMU, text, instead))
    program = parse(
        "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 write a+4K\nhost poison a+4K\ncpu0 read a+4K\n"
    )
    found = Differential(ours, theirs).run(program).findings
    assert [(each.kind, each.signature) for each in found] == [
        (REGRESSION, f"contract: kvm_handle_guest_abort: {called}")
    ]
    assert Differential(ours, ours).run(program).findings == []


NEVER_CLEARED: Final = "isolation: stage2_map_walker: access to a page never cleared, through the tables L3"


def test_a_page_is_cleared_before_a_guest_has_it(tmp_path: Path) -> None:
    end = "folio_mark_uptodate(folio);\n\t}\n\n#ifdef"
    clears = f"clear_highpage(folio_page(folio, 0));\n\t\t{end}"
    name = planted(memfd_tree(), tmp_path / "tree", GUEST_MEMFD, clears, end)
    # The first page, and the new page after the hole.
    assert [each for each in violations(name, HOLE) if each == NEVER_CLEARED] == 2 * [NEVER_CLEARED]
    lines = [line for line in trace(version(memfd_tree()), HOLE) if line.startswith(("new page", "clear frame"))]
    assert [line.split(" ")[0] for line in lines] == ["new", "clear", "new", "clear"]
    # A fault of user space clears the page that it allocates.
    touched = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\nhost write a+0 4K\ncpu0 read a+0\n")
    assert not any(line.startswith("clear frame") for line in trace(version(memfd_tree()), touched))
    assert NEVER_CLEARED not in violations(name, touched)


def test_a_page_that_has_failed_is_not_mapped_again(tmp_path: Path) -> None:
    program = parse(
        "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 write a+4K\nhost poison a+4K\ncpu0 read a+4K\n"
    )
    name = planted(memfd_tree(), tmp_path / "tree", GUEST_MEMFD, "if (folio_test_hwpoison(folio)) {", "if (0) {")
    found = violations(name, program)
    assert "isolation: stage2_map_walker: access to a frame not owned, through the tables L3" in found
    assert violations(version(memfd_tree()), program) == []


def test_memory_that_fails_while_a_hole_is_punched() -> None:
    """The failure waits for the hole, which removes the failed page. The guest gets another page."""
    actors = "host0 discard a+0 2040K\ncpu0 read a+1568K\nhost1 poison a+1568K\n"
    block = f"par\n{actors}switch host0 to cpu0 before store 1\nend\n"
    head = "s2fuzz 1\nvm cpus=1\nslot a size=2040K backing=memfd\ncpu0 read a+0\n"
    assert violations(version(memfd_tree()), parse(f"{head}{block}cpu0 read a+1568K\n")) == []


def test_a_slot_is_unbound_as_a_whole(tmp_path: Path) -> None:
    """A range is one entry of the XArray only if its size is that of slots of one node."""
    stored, erased = "xa_store_range(&f->bindings, start, end - 1, NULL, GFP_KERNEL);", "xa_erase(&f->bindings, start);"
    end = "\n\n\t/*\n\t * synchronize_srcu"
    name = planted(memfd_tree(), tmp_path / "tree", GUEST_MEMFD, f"{stored}{end}", f"{erased}{end}")
    found: list[list[str]] = []
    for size in "256K", "260K":
        again = "cpu0 read a+0\nslot a delete\nslot a create\ncpu0 read a+0\nhost discard a+0 4K\n"
        program = parse(f"s2fuzz 1\nvm cpus=1\nslot a size={size} backing=memfd\n{again}")
        assert violations(version(memfd_tree()), program) == []
        found.append(violations(name, program))
    assert found[0] == []
    assert "contract: kvm_set_memory_region: error -17" in found[1]


def test_a_slot_that_is_larger_than_its_file(tmp_path: Path) -> None:
    """KVM must refuse it."""
    right = "offset + size > i_size_read(inode)"
    name = planted(memfd_tree(), tmp_path / "tree", GUEST_MEMFD, right, "false")
    program = parse("s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 read a+0\n")
    assert "contract: kvm_set_memory_region: error -22" in violations(name, program)
    assert violations(version(memfd_tree()), program) == []


# User space closes the file of a slot at the end of the program, before the VM ends.
CLOSED: Final = parse("s2fuzz 1\nvm cpus=2\nslot a size=4M backing=memfd\ncpu0 write a+0\ncpu1 read a+2M\n")
ZAP: Final = "\t__kvm_gmem_invalidate_start(f, 0, -1ul,\n\t\t\t\t    kvm_gmem_get_invalidate_filter(inode));\n"
RELEASED: Final = "\t__kvm_gmem_invalidate_end(f, 0, -1ul);\n"
# Mistakes in kvm_gmem_release().
CLOSING: Final = {
    "nothing is unmapped": (ZAP + RELEASED, "", EARLY.replace("kvm_gmem_fallocate", "kvm_gmem_release")),
    "the invalidation does not end": (ZAP + RELEASED, ZAP, "contract: kvm_destroy_vm: WARN"),
    "the slot keeps the file": (
        "\txa_for_each(&f->bindings, index, slot)\n\t\tWRITE_ONCE(slot->gmem.file, NULL);\n",
        "\t(void)slot;\n\t(void)index;\n",
        "contract: kvm_free_stage2_pgd: oops use after free of an object, read of 8 bytes, in kvm_free_memslot",
    ),
    "an object is left": (
        "\tkfree(f);\n\n\tkvm_put_kvm(kvm);\n\n\treturn 0;",
        "\tkvm_put_kvm(kvm);\n\n\treturn 0;",
        "leak: kvm_destroy_vm: allocations left",
    ),
}


@pytest.mark.parametrize("what", CLOSING)
def test_a_file_that_is_closed_while_its_slot_exists(what: str, tmp_path: Path) -> None:
    text, instead, signature = CLOSING[what]
    assert violations(version("7.3"), CLOSED) == []
    assert signature in violations(planted("7.3", tmp_path / "tree", GUEST_MEMFD, text, instead), CLOSED)
