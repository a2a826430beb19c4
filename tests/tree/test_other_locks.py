# SPDX-License-Identifier: GPL-2.0-only
"""locking: locks without a name in events, such as a mutex or the lock of a file, are balanced in trees too."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import GUEST_MEMFD, KVM_MAIN
from fuzz.judging.differential import REGRESSION, Differential
from fuzz.language.text import parse

from .trees import planted, version

SLOT: Final = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=anon\ncpu0 write a+0\n"
MEMFD: Final = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=memfd\ncpu0 write a+0\nhost poison a+0\n"
TAKE: Final = "\tmutex_lock(&kvm->slots_lock);\n\tr = __kvm_set_memory_region(kvm, mem);\n"
DROP: Final = "\tr = __kvm_set_memory_region(kvm, mem);\n\tmutex_unlock(&kvm->slots_lock);\n"
DEVICE: Final = "s2fuzz 1\nvm cpus=1\nslot a size=64K backing=device\ncpu0 read a+0\n"
FAILS: Final = "\tfilemap_invalidate_unlock_shared(mapping);\n\n\treturn MF_DELAYED;\n"
PAGE: Final = "\tfolio_unlock(folio);\n\n\tif (!r)\n"
FAILED: Final = "\tif (folio_test_hwpoison(folio)) {\n\t\tfolio_unlock(folio);\n"
# Tree, file, text, replacement; program; end of the signature, and a part of the reason.
MISTAKES: Final = {
    "a mutex is not released": (
        *("6.12", KVM_MAIN, DROP, DROP.replace("\tmutex_unlock(&kvm->slots_lock);\n", "")),
        *(SLOT, "another lock still held", "was taken at kvm_set_memory_region (kvm_main.c:"),
    ),
    "a mutex is taken twice": (
        *("6.12", KVM_MAIN, TAKE, "\tmutex_lock(&kvm->slots_lock);\n" + TAKE),
        *(SLOT, "another lock taken twice", "was taken at kvm_set_memory_region (kvm_main.c:"),
    ),
    "a mutex is released twice": (
        *("6.12", KVM_MAIN, DROP, DROP + "\tmutex_unlock(&kvm->slots_lock);\n"),
        *(SLOT, "another lock released that is not held", "released by an actor that does not hold it"),
    ),
    "the lock of a file is not released": (
        *("7.3", GUEST_MEMFD, FAILS, "\n\treturn MF_DELAYED;\n"),
        *(MEMFD, "another lock still held", "was taken at kvm_gmem_error_folio (guest_memfd.c:"),
    ),
    "the page of a file is not unlocked": (
        *("7.3", GUEST_MEMFD, PAGE, PAGE.replace("\tfolio_unlock(folio);\n", "")),
        *(MEMFD, "another lock still held", "(guest_memfd.c:"),
    ),
    "a failed page of a file is not unlocked": (
        *("7.3", GUEST_MEMFD, FAILED, FAILED.replace("\t\tfolio_unlock(folio);\n", "")),
        *(MEMFD + "cpu0 read a+0\n", "another lock still held", "(guest_memfd.c:"),
    ),
    "the entry of a device frame stays locked": (
        *("7.3", KVM_MAIN, "\tfollow_pfnmap_end(&args);\n", ""),
        *(DEVICE, "another lock still held", "was taken at hva_to_pfn_remapped (kvm_main.c:"),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake(mistake: str, tmp_path: Path) -> None:
    tree, file, text, instead, program, called, reason = MISTAKES[mistake]
    ours = candidate.get(version(tree))
    theirs = candidate.get(planted(tree, tmp_path / "tree", file, text, instead))
    found = Differential(ours, theirs).run(parse(program)).findings
    assert {each.kind for each in found} == {REGRESSION}
    (first,) = [each for each in found if each.signature.endswith(called)]
    assert first.signature.startswith("locking: ")
    assert reason in first.reason
    # After a call has returned, no code is running.
    assert "at ?" not in first.reason
    assert Differential(ours, ours).run(parse(program)).findings == []


# More locks than a process remembers.
MANY: Final = "\t{\n\t\tstatic spinlock_t many[300];\n\t\tint i;\n\n\t\tfor (i = 0; i < 300; i++)"
EACH_IN_TURN: Final = MANY + " {\n\t\t\tspin_lock(&many[i]);\n\t\t\tspin_unlock(&many[i]);\n\t\t}\n\t}\n"
ALL_AT_ONCE: Final = (
    f"{MANY}\n\t\t\tspin_lock(&many[i]);\n\t\tfor (i = 0; i < 300; i++)\n\t\t\tspin_unlock(&many[i]);\n\t}}\n"
)


@pytest.mark.parametrize("released", [True, False])
def test_a_held_lock_is_not_forgotten(released: bool, tmp_path: Path) -> None:
    """Each of many locks is taken and released while a mutex is held."""
    done = DROP.partition("\n")[0] + "\n" + EACH_IN_TURN + (DROP.partition("\n")[2] if released else "")
    ours = candidate.get(version("6.12"))
    theirs = candidate.get(planted("6.12", tmp_path / "tree", KVM_MAIN, DROP, done))
    found = Differential(ours, theirs).run(parse(SLOT)).findings
    assert [each.signature.endswith("another lock still held") for each in found[:1]] == [True] * (not released)


def test_too_many_locks_held_at_once(tmp_path: Path) -> None:
    theirs = planted("6.12", tmp_path / "tree", KVM_MAIN, DROP, ALL_AT_ONCE + DROP)
    verdict = Differential(candidate.get(version("6.12")), candidate.get(theirs)).run(parse(SLOT))
    assert verdict.refused == "more locks held than are remembered"
