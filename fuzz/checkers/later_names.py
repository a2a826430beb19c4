# SPDX-License-Identifier: GPL-2.0-only
"""Functions of 5.12 that findings name, and their names in later kernels."""

from typing import Final

# Function of 5.12 -> its successors in 6.1, 6.12 and 7.3.
LATER: Final = {
    "cond_resched_lock": "in 6.1 and later cond_resched_rwlock_write()",
    "gfn_to_pfn_prot": "in 6.1 and 6.12 __gfn_to_pfn_memslot(), in 7.3 __kvm_faultin_pfn()",
    "mmu_notifier_retry": "in 6.1 and later mmu_invalidate_retry()",
}


def named(function: str) -> str:
    """Return a function name as a call, with its later names if it has any."""
    later = LATER.get(function, "")
    return f"{function}() ({later})" if later else f"{function}()"
