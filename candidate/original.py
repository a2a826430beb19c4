# SPDX-License-Identifier: GPL-2.0-only
"""The original: the kernel code of reference/ as it is."""

from reference.mmu import Mmu
from reference.pgtable import Pgtable

from .registry.declaration import Candidate

CANDIDATE = Candidate(
    "original",
    Pgtable,
    Mmu,
    "Linux of early 2021, before RFC v1: pgtable.c blob 4d177ce1d536 and mmu.c blob 8711894db8c2 (v5.12.9)",
    order=0,
)
