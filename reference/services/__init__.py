# SPDX-License-Identifier: GPL-2.0-only
"""Services that pgtable.c and mmu.c call, by purpose: table entries, pages, locks. `reference.kernel` combines them."""
