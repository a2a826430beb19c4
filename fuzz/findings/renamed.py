# SPDX-License-Identifier: GPL-2.0-only
"""Former signatures of findings, so that existing files of accepted findings still match.

Add an entry when a checker reports the same defect under a new name. Add none if the checker now
detects more, or something worse.
"""

import re
from functools import cache
from typing import Final

from ..language.operations import Par
from ..language.operations.declaration import DECLARATIONS, title_of

# A pattern of the current signature, and templates of its former ones.
RENAMED: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    # Crashes of a tree's code that were worded differently.
    (
        r"(?P<what>contract: .*: oops) access to an unallocated table page(?P<place>.*)",
        (r"\g<what> access to a table page that nobody allocated\g<place>",),
    ),
    (r"(?P<what>contract: .*: oops) process died", (r"\g<what> ended without a word",)),
    # Once the walk cache is flushed, only the leaves of the table remain.
    (
        r"tlb: (?P<function>.*): two sizes for one address, the other L\d (?P<level>L\d)",
        (
            r"bbm: \g<function>: table->block made before the flush \g<level>",
            r"lifetime: \g<function>: freed before the flush",
        ),
    ),
    # A clean that came too early does not count if the page was dirty again.
    (
        r"dcache: (?P<function>.*): unmapped, cleaned before the flush (?P<level>L\d)",
        (r"dcache: \g<function>: unmapped, not cleaned \g<level>",),
    ),
    (
        r"contract: (?P<function>.*): abort at another address, the physical one",
        (r"contract: \g<function>: abort at another address",),
    ),
    # Kernel code has counted the objects, and topped up nothing.
    (r"(?P<what>memcache: .*: allocation) beyond the count(?P<fault>.*)", (r"\g<what> beyond the top-up\g<fault>",)),
    # A reset is named by the function that unmaps the slots.
    (
        r"translation: stage2_unmap_vm: still mapped after unmapping(?P<level>.*)",
        (r"translation: kvm_pgtable_stage2_unmap: still mapped after unmapping\g<level>",),
    ),
    # The second attempt to create a VM used the structure of the first, which pointed to tables.
    (
        r"lifetime: kvm_init_stage2_mmu: root linked after a failed creation",
        (r"contract: kvm_init_stage2_mmu: error -22",),
    ),
    # In a par block, it was named after the last call before the block.
    (
        r"progress: kvm_handle_guest_abort: access does not complete",
        (r"progress: kvm_set_memory_region: access does not complete",),
    ),
    # Not every operation with too many steps goes on forever.
    (r"(?P<what>progress: .*:) too many steps", (r"\g<what> endless loop", r"\g<what> endless walk")),
    # The number is a lower bound.
    (r"(?P<what>contract: .*: mmu_lock held) more than (?P<rest>\d+ times as long.*)", (r"\g<what> \g<rest>",)),
    # Plainer words for the same.
    (
        r"(?P<what>contract: .*: (I/O exit|no abort|.* for a slot that ends)) beyond the guest's address space",
        (r"\g<what> behind the guest's address space",),
    ),
    (
        r"(?P<what>ageing: .*), beyond the first leaf of a huge page(?P<level>.*)",
        (r"\g<what>, behind the first leaf of a huge page\g<level>",),
    ),
    (
        r"(?P<what>progress: .*:|contract: .*: oops) does not return(?P<place>| in .*)",
        (r"\g<what> does not come back\g<place>",),
    ),
    (
        r"(?P<what>contract: .*: oops) invalid free of an object(?P<place>.*)",
        (r"\g<what> free of what is no object\g<place>",),
    ),
    (r"(?P<what>contract: .*: oops) endless sleep(?P<place>.*)", (r"\g<what> sleep without an end\g<place>",)),
    (r"(?P<what>lifetime: .*) a non-table page(?P<level>.*)", (r"\g<what> what is no table\g<level>",)),
    (
        r"(?P<what>lifetime: .*) references counted on a non-table page",
        (r"\g<what> references counted of what is no table",),
    ),
    (r"(?P<what>lifetime: .*) non-table page entered(?P<level>.*)", (r"\g<what> what is no table entered\g<level>",)),
)


@cache
def names_of(signature: str) -> tuple[str, ...]:
    """Return a signature and the former signatures of the same finding."""
    found = [signature]
    # Signatures of differing results formerly contained class names.
    result, _, title = signature.partition(": ")
    if result == "result":
        found += [f"{result}: {kind.__name__}" for kind in (*DECLARATIONS, Par) if title_of(kind) == title]
    for pattern, before in RENAMED:
        match = re.fullmatch(pattern, signature)
        if match:
            found += [match.expand(template) for template in before]
    return tuple(found)
