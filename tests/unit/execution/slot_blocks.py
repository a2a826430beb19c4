# SPDX-License-Identifier: GPL-2.0-only
"""Blocks in which slots change during a fault, and the places at which they may switch."""

from typing import Final

HEAD: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\nslot b ipa=6G size=2M backing=anon\n"
PLACES: Final = (
    *("after fault 1", "before lookup 1", "after lookup 1", "before lock 1", "after lock 1", "after load 1"),
    *("after store 1", "before unlock 1", "after unlock 1"),
)
USER_PLACES: Final = (
    *("before lock 1", "after lock 1", "after store 1", "after flush 1", "before unlock 1", "after unlock 1"),
)
CHANGES: Final = (
    "slot a delete",
    "slot a move 3G",
    "slot a delete\nuser0 slot a create",
    "slot a delete\nuser0 slot a create ro=on",
    "slot a delete\nuser0 slot a create ipa=3G log=on",
    "slot a move 3G\nuser0 slot a move 1G",
)


def block(vcpu: str, change: str, switch: str, first: str = "cpu0") -> str:
    """Return a program with a vCPU and user space in a block; *first* begins."""
    lines = [f"cpu0 {vcpu}", f"user0 {change}"]
    if first != "cpu0":
        lines.reverse()
    return HEAD + "cpu1 read a+4K\npar\n" + "\n".join(lines) + f"\nswitch {switch}\nend\ncpu0 read b+0\n"
