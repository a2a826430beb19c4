# SPDX-License-Identifier: GPL-2.0-only
"""The grammar of programs, version 1: one statement a line."""

from typing import Any, Final

from . import operations as ops
from .program import BACKINGS, Slot, Vm

# Each kind of statement: words in lower case stand for themselves, SLOT+OFF is
# two values; the values are the fields of the class, in their order.
FORMS: Final[tuple[tuple[type[Any], str], ...]] = (
    (
        Vm,
        (
            "vm [granule=SIZE] [ipa=COUNT] [cpus=COUNT] [vms=COUNT] [fwb=on|off] [dic=on|off] [ttl=on|off]"
            " [range=on|off] [haf=on|off] [manual=off|on|set] [fail=COUNT]"
        ),
    ),
    (
        Slot,
        (
            f"slot NAME [ipa=ADDRESS] size=SIZE backing={'|'.join(BACKINGS)}"
            " [offset=SIZE] [log=on|off] [ro=on|off] [vm=COUNT] [alias=SLOT]"
        ),
    ),
    (ops.GuestAccess, "cpuN read|write|fetch|walk|clean SLOT+OFF [mmu=on|off] [fail=COUNT]"),
    (ops.GuestCache, "cpuN cache on|off"),
    (ops.GuestSetWay, "cpuN setway"),
    (ops.GuestExternalAbort, "cpuN abort SLOT+OFF"),
    (ops.GuestMove, "cpuN move COUNT"),
    (ops.GuestReset, "cpuN reset"),
    (ops.Speculate, "cpuN speculate SLOT+OFF"),
    (ops.Evict, "cpuN evict SLOT+OFF"),
    (ops.HostWrite, "host write SLOT+OFF SIZE"),
    (ops.HostWriteback, "host writeback SLOT+OFF SIZE"),
    (ops.HostCollapse, "host collapse SLOT+OFF"),
    (ops.HostSplit, "host split SLOT+OFF"),
    (ops.HostMigrate, "host migrate SLOT+OFF SIZE"),
    (ops.HostDiscard, "host discard SLOT+OFF SIZE"),
    (ops.HostUnmap, "host unmap SLOT+OFF SIZE"),
    (ops.HostPoison, "host poison SLOT+OFF"),
    (ops.HostShare, "host share SLOT+OFF SIZE"),
    (ops.HostMerge, "host merge SLOT+OFF"),
    (ops.HostAge, "host age SLOT+OFF SIZE [flush=on|off]"),
    (ops.HostTestAge, "host testage SLOT+OFF"),
    (ops.SetLog, "log SLOT on|off"),
    (ops.GetLog, "log SLOT get"),
    (ops.ClearLog, "log SLOT clear OFF SIZE"),
    (ops.SlotDelete, "slot SLOT delete"),
    (ops.SlotCreate, "slot SLOT create [ipa=ADDRESS] [log=on|off] [ro=on|off] [fail=COUNT]"),
    (ops.SlotMove, "slot SLOT move ADDRESS [fail=COUNT]"),
    (ops.TableMap, "table map SLOT+OFF SIZE r|rw|rx|rwx [fail=COUNT]"),
    (ops.TableUnmap, "table unmap SLOT+OFF SIZE"),
    (ops.TableWrprotect, "table wrprotect SLOT+OFF SIZE"),
    (ops.TableFlush, "table flush SLOT+OFF SIZE"),
    (ops.TableMkyoung, "table mkyoung SLOT+OFF"),
    (ops.TableMkold, "table mkold SLOT+OFF"),
    (ops.TableIsYoung, "table isyoung SLOT+OFF"),
    (ops.TableRelax, "table relax SLOT+OFF r|rw|rx|rwx"),
    (ops.HypMap, "hyp map VA PA SIZE r|rw|rx|device|w|rwx|xdevice [fail=COUNT]"),
)
