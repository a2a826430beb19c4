# SPDX-License-Identifier: GPL-2.0-only
"""Functions of 5.12 that findings name, and what they are called in the kernels after it."""

from typing import Final

# Of each function what took its name, or its place, as seen in 6.1, 6.12 and 7.3.
LATER: Final = {
    "cond_resched_lock": "in 6.1 and later cond_resched_rwlock_write()",
    "gfn_to_pfn_prot": "in 6.1 and 6.12 __gfn_to_pfn_memslot(), in 7.3 __kvm_faultin_pfn()",
    "mmu_notifier_retry": "in 6.1 and later mmu_invalidate_retry()",
}


def named(function: str) -> str:
    """The name of a function as a call, with its later names where it has some."""
    later = LATER.get(function, "")
    return f"{function}() ({later})" if later else f"{function}()"
