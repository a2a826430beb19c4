# SPDX-License-Identifier: GPL-2.0-only
"""Direct calls of pgtable.c on the hypervisor's own tables."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from .declaration import declare

HypProt: TypeAlias = Literal["r", "rw", "rx", "device", "w", "rwx", "xdevice"]
HYP_PROTS: Final[tuple[str, ...]] = get_args(HypProt)
# Rights that ``kvm_pgtable_hyp_map()`` must refuse: without read, writable code, executable device memory.
HYP_REFUSED: Final = ("w", "rwx", "xdevice")


@dataclass(frozen=True, slots=True)
class HypMap:
    """``kvm_pgtable_hyp_map()`` of *size* bytes from hypervisor address *va* to *pa*.

    None of the three needs alignment. Some values of *prot* must be refused
    (`HYP_REFUSED`). *fail*: the allocation of that number (from 1) during this
    call fails, including that of the root.
    """

    va: int
    pa: int
    size: int
    prot: HypProt
    fail: int | None = None


declare(
    HypMap,
    34,
    "hyp map VA PA SIZE r|rw|rx|device|w|rwx|xdevice [fail=COUNT]",
    checkers=("translation", "contract", "hyp"),
)
