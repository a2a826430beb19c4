# SPDX-License-Identifier: GPL-2.0-only
"""The original: the kernel code of reference/ as it is."""

from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .registry.declaration import Candidate

CANDIDATE = Candidate(
    "original",
    Pgtable,
    Mmu,
    "pgtable.c blob 4d177ce1d536, the pre-image of RFC v1, with mmu.c blob 8711894db8c2 (v5.12.9)",
    order=0,
)
