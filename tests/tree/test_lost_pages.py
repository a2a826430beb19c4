# SPDX-License-Identifier: GPL-2.0-only
"""A write that no log has: the finding names the step of the dirty log that left it out, and its place."""

from pathlib import Path
from typing import Final, NamedTuple

import pytest

import candidate
from candidate.tree.building.source import DIRTY_RING, KVM_MAIN
from tests.good_bad.case import violations

from .trees import edited, version

TREE: Final = "7.3"
LOST: Final = "dirty-log: kvm_vm_ioctl_get_dirty_log: write through a writable leaf not reported"


class Mistake(NamedTuple):
    """A planted mistake.

    :param path: the file
    :param text: the code that it replaces
    :param program: shows it
    :param cause: in the reason
    :param function: of the place
    """

    path: str
    text: str
    instead: str
    program: str
    cause: str
    function: str


MISTAKES: Final = {
    "a ring entry that is in no batch": Mistake(
        DIRTY_RING,
        "delta >= 0 && delta < BITS_PER_LONG",
        "delta >= 0 && delta <= BITS_PER_LONG",
        "vm cpus=1 ring=4K\nslot a size=1M backing=anon log=on\n"
        "cpu0 write a+0\ncpu0 write a+256K\nlog a get\ncpu0 write a+256K\nlog a get\n",
        "kvm_vm_ioctl_reset_dirty_pages() returned in operation 3 without asking for its write-protection",
        "kvm_reset_dirty_gfn",
    ),
    "all bits but the last are set": Mistake(
        KVM_MAIN,
        "bitmap_set(new->dirty_bitmap, 0, new->npages);",
        "bitmap_set(new->dirty_bitmap, 0, new->npages - 1);",
        "vm cpus=1 manual=set\nslot a size=2M backing=thp\ncpu0 write a+0\nlog a on\ncpu0 write a+2044K\nlog a get\n",
        "with all pages dirty, and nothing has taken its bit since",
        "kvm_swap_active_memslots",
    ),
    "the last word is not collected": Mistake(
        KVM_MAIN,
        "for (i = 0; i < n / sizeof(long); i++) {\n\t\t\tunsigned long mask;",
        "for (i = 0; i < n / sizeof(long) - 1; i++) {\n\t\t\tunsigned long mask;",
        "vm cpus=1\nslot a size=1M backing=anon log=on\ncpu0 write a+0\ncpu0 write a+1020K\nlog a get\n",
        "it was marked dirty in operation 2, and nothing has taken that mark",
        "kvm_get_dirty_log_protect",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_step_is_named(name: str, tmp_path: Path) -> None:
    mistake = MISTAKES[name]
    wrong = edited(TREE, tmp_path / "tree", mistake.path, [(mistake.text, mistake.instead)])
    found = [each for each in violations(candidate.get(wrong), mistake.program) if each.signature.startswith(LOST)]
    assert len(found) == 1
    cause, _, place = found[0].reason.partition("; at ")
    assert mistake.cause in cause
    assert place.startswith(f"{mistake.function} (")
    assert violations(candidate.get(version(TREE)), mistake.program) == []
