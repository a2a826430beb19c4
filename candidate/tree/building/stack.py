# SPDX-License-Identifier: GPL-2.0-only
"""Removes the instrumentation of loads and stores of local variables from a library: no table is on a stack.

A table walk would make many of these calls, because the data that it passes to its callbacks is on the stack.
"""

import re
import struct
from pathlib import Path
from typing import Final

from .compiler import output
from .counters import code

_HOOK: Final = re.compile(r"^([0-9a-f]+) \w __tsan_(?:unaligned_|volatile_)?(?:read|write)\d+$", re.MULTILINE)
# lea offset(%rbp),%rdi; the test of native/hooks.h, if there is one: mov %rdi,%rax; sub %rsp,%rax; cmp $constant,%rax;
# jb to the end; call function
_CALL: Final = re.compile(
    rb"(?:\x48\x8d\x7d.|\x48\x8d\xbd....)((?:\x48\x89\xf8\x48\x29\xe0\x48\x3d....\x72\x05)?\xe8(....))", re.DOTALL
)
# Bytes that may be a jump, at any offset: with a distance of 8 bits, and of 32 bits.
_NEAR: Final = re.compile(rb"(?=[\x70-\x7f\xe3\xeb](.))", re.DOTALL)
_FAR: Final = re.compile(rb"(?=(?:\x0f[\x80-\x8f]|\xe9)(....))", re.DOTALL)
# Instructions without effect, by their length: nopl 0(%rax,%rax,1); nopw 0(%rax,%rax,1) twice, nop.
NOPS: Final = {5: b"\x0f\x1f\x44\0\0", 19: b"\x66\x0f\x1f\x84\0\0\0\0\0" * 2 + b"\x90"}


def remove_calls(work: Path, library: str) -> None:
    """Remove the calls at loads and stores of local variables from a library.

    A call that may be the target of a jump stays, since the register may then hold another address.

    :param work: folder of the build
    :param library: its name
    :raises candidate.tree.building.errors.TreeError: ``nm`` is not installed, or fails
    """
    hooks = {int(address, 16) for address in _HOOK.findall(output(["nm", library], work))}
    data = bytearray((work / library).read_bytes())
    for offset, address, length in code(data):
        text = bytes(data[offset : offset + length])
        targets = jumped_to(text)
        for found in _CALL.finditer(text):
            (distance,) = struct.unpack("<i", found[2])
            if address + found.end() + distance in hooks and found.start(1) not in targets:
                data[offset + found.start(1) : offset + found.end()] = NOPS[len(found[1])]
    (work / library).write_bytes(data)


def jumped_to(text: bytes) -> set[int]:
    """Return the offsets to which code may jump; any bytes that could be a jump count as one."""
    targets = {found.start() + 2 + struct.unpack("<b", found[1])[0] for found in _NEAR.finditer(text)}
    for found in _FAR.finditer(text):
        targets.add(found.end(1) + struct.unpack("<i", found[1])[0])
    return targets
