# SPDX-License-Identifier: GPL-2.0-only
"""Direct calls of pgtable.c on a VM's tables."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from .declaration import LIVE, declare

Prot: TypeAlias = Literal["r", "rw", "rx", "rwx"]
PROTS: Final[tuple[str, ...]] = get_args(Prot)


@dataclass(frozen=True, slots=True)
class TableRange:
    """Base of a direct call of pgtable.c with a range. *offset* and *size* need no alignment."""

    slot: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class TablePlace:
    """Base of a direct call of pgtable.c for one address, which needs no alignment."""

    slot: str
    offset: int


@dataclass(frozen=True, slots=True)
class TableMap(TableRange):
    """``kvm_pgtable_stage2_map()`` of the host's frames.

    The call is made as a careful caller makes it: *prot* lacks the rights that
    the host's pages or the dirty log forbid, caches are maintained first, and the
    range ends where the frames are no longer contiguous. *fail*: that allocation
    of the top-up fails. If the cache then has too few tables, the call gets no
    cache, and fails inside the walk where it needs a table.
    """

    prot: Prot
    fail: int | None = None


declare(
    TableMap,
    26,
    "table map SLOT+OFF SIZE r|rw|rx|rwx [fail=COUNT]",
    needs=(LIVE,),
    checkers=("translation", "contract", "memcache", "tags"),
)


@dataclass(frozen=True, slots=True)
class TableUnmap(TableRange):
    """``kvm_pgtable_stage2_unmap()``"""


declare(TableUnmap, 27, "table unmap SLOT+OFF SIZE", needs=(LIVE,), checkers=("translation",))


@dataclass(frozen=True, slots=True)
class TableWrprotect(TableRange):
    """``kvm_pgtable_stage2_wrprotect()``, and the flush that it leaves to its caller."""


declare(TableWrprotect, 28, "table wrprotect SLOT+OFF SIZE", needs=(LIVE,), checkers=("translation", "dirty-log"))


@dataclass(frozen=True, slots=True)
class TableFlush(TableRange):
    """``kvm_pgtable_stage2_flush()``"""


declare(TableFlush, 29, "table flush SLOT+OFF SIZE", needs=(LIVE,), checkers=("translation", "dcache"))


@dataclass(frozen=True, slots=True)
class TableMkyoung(TablePlace):
    """``kvm_pgtable_stage2_mkyoung()``"""


declare(TableMkyoung, 30, "table mkyoung SLOT+OFF", needs=(LIVE,), checkers=("translation", "ageing"))


@dataclass(frozen=True, slots=True)
class TableMkold(TablePlace):
    """``kvm_pgtable_stage2_mkold()``"""


declare(TableMkold, 31, "table mkold SLOT+OFF", needs=(LIVE,), checkers=("translation", "ageing"))


@dataclass(frozen=True, slots=True)
class TableIsYoung(TablePlace):
    """``kvm_pgtable_stage2_is_young()``"""


declare(TableIsYoung, 32, "table isyoung SLOT+OFF", needs=(LIVE,), checkers=("translation", "ageing"))


@dataclass(frozen=True, slots=True)
class TableRelax(TablePlace):
    """``kvm_pgtable_stage2_relax_perms()`` to *prot*, as far as the host's page allows."""

    prot: Prot


declare(TableRelax, 33, "table relax SLOT+OFF r|rw|rx|rwx", needs=(LIVE,), checkers=("translation",))

# Operations that need no memory.
LockedTableOperation: TypeAlias = (
    TableUnmap | TableWrprotect | TableFlush | TableMkyoung | TableMkold | TableIsYoung | TableRelax
)
TableOperation: TypeAlias = TableMap | LockedTableOperation
