# SPDX-License-Identifier: GPL-2.0-only
"""The one function of a tree's arm.c that a build compiles."""

import pytest

from candidate.tree.building.sync_dirty_log import sync_dirty_log

HEAD = "void kvm_arch_sync_dirty_log(struct kvm *kvm, struct kvm_memory_slot *memslot)\n"
BEFORE = "static int limit;\nstatic void local(void)\n{\n}\n\n"
AFTER = "\nint other(void)\n{\n\treturn limit;\n}\n"


@pytest.mark.parametrize("body", ["", "\n", "\t/* nothing */\n", "\t// nothing\n"])
def test_a_function_that_does_nothing(body: str) -> None:
    assert sync_dirty_log(f"{BEFORE}{HEAD}{{\n{body}}}\n{AFTER}") == ""


def test_a_file_without_the_function() -> None:
    assert sync_dirty_log("") == sync_dirty_log(BEFORE + AFTER) == ""


def test_a_function_that_does_something() -> None:
    function = f"{HEAD}{{\n\tif (kvm)\n\t\tcollect(kvm, memslot);\n}}\n"
    text = sync_dirty_log(BEFORE + function + AFTER)
    assert text == f'#define HAVE_SYNC_DIRTY_LOG\n#line 6 "arch/arm64/kvm/arm.c"\n{function}'


@pytest.mark.parametrize(("call", "name"), [("local();", "local"), ("collect(limit);", "limit")])
def test_a_function_that_needs_more_of_the_file(call: str, name: str) -> None:
    text = sync_dirty_log(f"{BEFORE}{HEAD}{{\n\t{call}\n}}\n{AFTER}")
    assert "shim_refuse(" in text
    assert f"uses {name}, which is local to arm.c" in text
    # A remark that names it does not count.
    assert "shim_refuse(" not in sync_dirty_log(f"{BEFORE}{HEAD}{{\n\tcollect(); /* {call} */\n}}\n{AFTER}")
