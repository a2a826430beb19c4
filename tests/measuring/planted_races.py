# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes that only several concurrent actors show, planted in a port or in a copy of a kernel tree.

Each replaces a few texts of one file. A text that no longer exists is an error.
"""

import ast
import textwrap
from pathlib import Path
from typing import Final, NamedTuple

from candidate.tree import PREFIX
from candidate.tree.building.source import MMU, PGTABLE
from fuzz.judging.finding import REGRESSION, Finding

from ..tree.trees import changed, real_tree

ROOT: Final = Path(__file__).parents[2]
TREE: Final = "6.12"
PORT: Final = "original"


class PlantedRace(NamedTuple):
    """A mistake.

    :param path: file in a tree; for a port, a version that has the mistake, or "" for ``user_mem_abort()``
    :param edits: texts of the file, and their replacements
    :param wanted: beginnings of the signatures that count, () for all; only effects of the race, if some rule reports
        the mistake itself in the first program anyway
    """

    path: str
    edits: tuple[tuple[str, str], ...]
    wanted: tuple[str, ...] = ()

    def shown_by(self, finding: Finding) -> bool:
        """Return whether a finding shows the mistake."""
        return finding.kind == REGRESSION and finding.signature.startswith(self.wanted or "")


# A notifier has overtaken a fault: the guest has a frame of another owner.
OVERTAKEN: Final = ("isolation: ", "translation: ")
RETRY: Final = "\tif (mmu_invalidate_retry(kvm, mmu_seq)) {\n\t\tret = -EAGAIN;\n\t\tgoto out_unlock;\n\t}\n"
SAMPLE: Final = "\tmmu_seq = vcpu->kvm->mmu_invalidate_seq;\n"
UNLOCKED: Final = "\tmmap_read_unlock(current->mm);\n\n"
LOOK_UP: Final = (
    "\tpfn = __gfn_to_pfn_memslot(memslot, gfn, false, false, NULL,\n\t\t\t\t   write_fault, &writable, NULL);\n"
)
MARKS: Final = "\t\tmark_page_dirty_in_slot(kvm, memslot, gfn);\n"
RELAX: Final = "\t\tif (!stage2_try_set_pte(ctx, pte))\n\t\t\treturn -EAGAIN;\n"
BREAK: Final = "\tif (!stage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED))\n\t\treturn false;\n"
TAKES: Final = (
    "\tif (!stage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED)) {\n\t\tmm_ops->get_page(ctx->ptep);\n"
    "\t\treturn false;\n\t}\n"
)
IN_TREES: Final[dict[str, PlantedRace]] = {
    "retry check removed": PlantedRace(MMU, ((RETRY, ""),), OVERTAKEN),
    "sequence sampled after the look-up": PlantedRace(
        MMU, ((SAMPLE + UNLOCKED + LOOK_UP, UNLOCKED + LOOK_UP + SAMPLE),), OVERTAKEN
    ),
    "dirty mark skipped": PlantedRace(MMU, ((MARKS, ""),)),
    "failed exchange ignored, relaxing": PlantedRace(PGTABLE, ((RELAX, "\t\tstage2_try_set_pte(ctx, pte);\n"),)),
    "failed exchange ignored, mapping": PlantedRace(
        PGTABLE, ((BREAK, "\tstage2_try_set_pte(ctx, KVM_INVALID_PTE_LOCKED);\n"),)
    ),
    "no locked marker": PlantedRace(
        PGTABLE,
        (
            ("\tif (stage2_pte_is_locked(ctx->old)) {", "\tif (0) {"),
            ("\tWARN_ON(!stage2_pte_is_locked(*ctx->ptep));\n", ""),
        ),
    ),
    "table freed without RCU": PlantedRace(
        MMU,
        (
            (
                "\tcall_rcu(&page->rcu_head, stage2_free_unlinked_table_rcu_cb);",
                "\tstage2_free_unlinked_table_rcu_cb(&page->rcu_head);",
            ),
        ),
    ),
    "lost map marks its page": PlantedRace(MMU, (("\tif (writable && !ret) {", "\tif (writable) {"),)),
    "lost map takes the reference": PlantedRace(PGTABLE, ((BREAK, TAKES),)),
}
IN_PORTS: Final[dict[str, PlantedRace]] = {
    "retry check removed": PlantedRace(
        "", (("if not self.h.mmu_notifier_retry(kvm, mmu_seq):", "if True:"),), OVERTAKEN
    ),
    "sequence sampled after the look-up": PlantedRace(
        "",
        (
            ("    mmu_seq = kvm.mmu_notifier_seq\n", ""),
            (
                "    if pfn == KVM_PFN_ERR_HWPOISON:\n",
                "    mmu_seq = kvm.mmu_notifier_seq\n    if pfn == KVM_PFN_ERR_HWPOISON:\n",
            ),
        ),
        OVERTAKEN,
    ),
    "dirty mark skipped": PlantedRace("", (("self.h.mark_page_dirty(kvm, gfn)", "pass"),)),
    # RFC v1 4/4 itself: a top-up under the lock, and a return that leaves the lock held and the frame pinned.
    "top-up under the lock": PlantedRace("rfc-v1", (), ("locking: kvm_mmu_topup_memory_cache",)),
    "its error return": PlantedRace("rfc-v1", (), ("locking: kvm_handle_guest_abort", "page-reference: ")),
}


def replaced(source: str, race: PlantedRace) -> str:
    """Return the source with the mistake."""
    for text, instead in race.edits:
        assert source.count(text) >= 1, f"no {text!r} any more"
        source = source.replace(text, instead, 1)
    return source


def in_port(race: PlantedRace, folder: Path) -> str:
    """Write the port with the mistake as a candidate file in *folder*; return the name of the version."""
    if race.path:
        return race.path
    file = folder / "planted.py"
    file.write_text(_HEAD + textwrap.indent(replaced(user_mem_abort(), race), "    ") + _TAIL)
    return str(file)


# The function stands in a module with all names that it may use.
_HEAD: Final = """\
from candidate import Candidate
from reference.kernel import *
from reference.kvm import *
from reference.kvm_host import *
from reference.mmu import *
from reference.pgtable import *
from reference.services.errors import *
from reference.services.structs import *
from reference.syndrome import *
from reference.mmu import Mmu
from reference.pgtable import Pgtable


class PgtablePlanted(Pgtable):
    pass


class MmuPlanted(Mmu):
"""
_TAIL: Final = """

CANDIDATE = Candidate("planted", PgtablePlanted, MmuPlanted, "a planted mistake")
"""


def user_mem_abort() -> str:
    """Return the port's function as text, without its indentation."""
    text = (ROOT / "reference" / "mmu.py").read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "user_mem_abort":
            lines = text.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
            return textwrap.dedent("".join(lines))
    raise AssertionError("reference/mmu.py has no user_mem_abort()")


def in_tree(race: PlantedRace, folder: Path) -> str:
    """Copy the tree to *folder* with the mistake; return the name of the version."""
    original = real_tree(TREE)
    source = replaced((original / race.path).read_text(), race)
    return f"{PREFIX}{changed(original, folder / 'tree', {race.path: source})}"
