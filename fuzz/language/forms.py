# SPDX-License-Identifier: GPL-2.0-only
"""The grammar of programs, version 1: one statement a line."""

from typing import Any, Final

from .operations import OPERATIONS, OPTIONAL, SWITCH_FORM, Switch, declaration_of
from .program import BACKINGS, MEMFD, Slot, Vm

# Each kind of statement. Words in lower case stand for themselves. SLOT+OFF stands
# for two values. The values are the fields of the class, in their order.
FORMS: Final[tuple[tuple[type[Any], str], ...]] = (
    (
        Vm,
        (
            "vm [granule=SIZE] [ipa=COUNT] [cpus=COUNT] [vms=COUNT] [fwb=on|off] [dic=on|off] [ttl=on|off]"
            " [range=on|off] [haf=on|off] [manual=off|on|set] [fail=COUNT] [resched=COUNT] [contended=COUNT]"
            " [split=SIZE] [ring=SIZE] [bitmap=on|off] [grace=COUNT] [pa=COUNT] [mte=on|off]"
            " [bbm=on|off] [nested=on|off] [stage2=on|off]"
        ),
    ),
    (
        Slot,
        (
            f"slot NAME [ipa=ADDRESS] size=SIZE backing={'|'.join((*BACKINGS, MEMFD))}"
            " [offset=SIZE] [log=on|off] [ro=on|off] [vm=COUNT] [alias=SLOT]"
        ),
    ),
    *((kind, declaration_of(kind).form) for kind in (*OPERATIONS, *OPTIONAL)),
)
# Lines of a block between `BEGIN` and `END`: operations, then the schedule.
SCHEDULE: Final[tuple[type[Any], str]] = (Switch, SWITCH_FORM)
BEGIN: Final = "par"
END: Final = "end"
