# SPDX-License-Identifier: GPL-2.0-only
"""Removal of the calls at loads and stores of local variables from a library, and of no other call."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.plan import NATIVE
from candidate.tree.building.stack import NOPS, jumped_to, remove_calls

SOURCE = """
void seen(void *p);
void __tsan_write8(void *p) { seen(p); }
void other(void *p) { seen(p); }
__asm__(
".globl many\\nmany:\\n push %rbp\\n mov %rsp,%rbp\\n push %rdi\\n push %rdi\\n sub $0x2000,%rsp\\n"
" lea -0x10(%rbp),%rdi\\n call __tsan_write8@PLT\\n"	/* goes */
" lea -0x1000(%rbp),%rdi\\n call __tsan_write8@PLT\\n"	/* goes */
" lea -0x10(%rbp),%rdi\\n call other\\n"
" mov -8(%rbp),%rdi\\n call __tsan_write8@PLT\\n"
" mov -8(%rbp),%rdi\\n jmp 1f\\n"
" lea -0x10(%rbp),%rdi\\n1: call __tsan_write8@PLT\\n"
" leave\\n ret\\n");
"""
MAIN = """
#include <stdio.h>
static long table;
void many(void *p);
void seen(void *p) { puts(p == &table ? "table" : "stack"); }
int main(void) { many(&table); return 0; }
"""


# What the program prints: after the calls were removed, and before; the tests of hooks.h skip the same calls.
LEFT: Final = ["stack", "table", "table"]
ALL: Final = ["stack", "stack", *LEFT]
HOOKS: Final = ("-DSHIM_GRANULE_SHIFT=12", "-I", str(NATIVE), "-include", str(NATIVE / "hooks.h"))


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize(("flags", "before", "nops"), [((), ALL, NOPS[5]), (HOOKS, LEFT, NOPS[19])])
def test_only_calls_for_the_stack_are_removed(
    flags: Sequence[str], before: list[str], nops: bytes, tmp_path: Path
) -> None:
    def run() -> list[str]:
        done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (tmp_path / "a.c").write_text(SOURCE)
    (tmp_path / "b.c").write_text(MAIN)
    subprocess.run(["gcc", "-O1", "-c", *flags, "a.c"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", "-O1", "-no-pie", "-o", "program", "a.o", "b.c"], cwd=tmp_path, check=True)
    assert run() == before
    had = (tmp_path / "program").read_bytes().count(nops)
    remove_calls(tmp_path, "program")
    assert run() == LEFT
    assert (tmp_path / "program").read_bytes().count(nops) == had + 2


def test_jumps_of_all_kinds_are_found() -> None:
    near = b"\x74\x05" + b"\x90" * 8
    assert 7 in jumped_to(near)
    back = b"\x90" * 4 + b"\xeb\xfa"
    assert 0 in jumped_to(back)
    far = b"\x0f\x84\x01\x00\x00\x00\x90\xe9\xf4\xff\xff\xff"
    assert jumped_to(far) >= {7, 0}
