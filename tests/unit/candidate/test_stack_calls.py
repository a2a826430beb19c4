# SPDX-License-Identifier: GPL-2.0-only
"""Removal of the calls at loads and stores of local variables from a library, and of no other call."""

import shutil
import subprocess
from pathlib import Path

import pytest

from candidate.tree.building.stack import jumped_to, remove_calls

SOURCE = """
void seen(void *p);
void __tsan_write8(void *p) { seen(p); }
void other(void *p) { seen(p); }
__asm__(
".globl many\\nmany:\\n push %rbp\\n mov %rsp,%rbp\\n push %rdi\\n push %rdi\\n"
" lea -0x10(%rbp),%rdi\\n call __tsan_write8\\n"	/* goes */
" lea -0x1000(%rbp),%rdi\\n call __tsan_write8\\n"	/* goes */
" lea -0x10(%rbp),%rdi\\n call other\\n"
" mov -8(%rbp),%rdi\\n call __tsan_write8\\n"
" mov -8(%rbp),%rdi\\n jmp 1f\\n"
" lea -0x10(%rbp),%rdi\\n1: call __tsan_write8\\n"
" leave\\n ret\\n");
"""
MAIN = """
#include <stdio.h>
static long table;
void many(void *p);
void seen(void *p) { puts(p == &table ? "table" : "stack"); }
int main(void) { many(&table); return 0; }
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_only_calls_for_the_stack_are_removed(tmp_path: Path) -> None:
    def run() -> list[str]:
        done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (tmp_path / "a.c").write_text(SOURCE)
    (tmp_path / "b.c").write_text(MAIN)
    subprocess.run(["gcc", "-O1", "-no-pie", "-o", "program", "a.c", "b.c"], cwd=tmp_path, check=True)
    assert run() == ["stack", "stack", "stack", "table", "table"]
    remove_calls(tmp_path, "program")
    assert run() == ["stack", "table", "table"]


def test_jumps_of_all_kinds_are_found() -> None:
    near = b"\x74\x05" + b"\x90" * 8
    assert 7 in jumped_to(near)
    back = b"\x90" * 4 + b"\xeb\xfa"
    assert 0 in jumped_to(back)
    far = b"\x0f\x84\x01\x00\x00\x00\x90\xe9\xf4\xff\xff\xff"
    assert jumped_to(far) >= {7, 0}
