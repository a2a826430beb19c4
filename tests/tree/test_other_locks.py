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
FAILS: Final = "\tfilemap_invalidate_unlock_shared(mapping);\n\n\treturn MF_DELAYED;\n"
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
    assert Differential(ours, ours).run(parse(program)).findings == []
