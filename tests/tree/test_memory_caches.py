# SPDX-License-Identifier: GPL-2.0-only
"""Each memory cache of a tree is judged alone: a top-up of one promises nothing of another."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from reference.events import Observer
from reference.kernel import Kernel
from tests.good_bad.case import violations

from .trees import planted, version

PROGRAM: Final = "vm cpus=2 split=2M\nslot a size=4M backing=thp\ncpu0 write a+0\ncpu1 write a+2M\nlog a on\n"
# The top-up of a fault.
FILLED: Final = {
    "6.12": "kvm_mmu_topup_memory_cache(memcache,",
    "7.3": "kvm_mmu_topup_memory_cache(memcache, min_pages)",
}


class Caches(Observer):
    """Records the names of memory caches by number."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.named: dict[int, str] = {}
        kernel.observe(self)

    def topup(self, cache: int, minimum: int, had: int, has: int, ret: int, locked: bool) -> None:
        self.note(cache)

    def mc_pop(self, cache: int, left: int) -> None:
        self.note(cache)

    def note(self, cache: int) -> None:
        """Record a cache. Its number is that of no other."""
        assert self.named.setdefault(cache, self.kernel.cache) == self.kernel.cache


@pytest.mark.parametrize("name", FILLED)
def test_each_cache_has_a_number_and_a_name(name: str) -> None:
    program = parse(f"s2fuzz 1\n{PROGRAM}table unmap a+0 4M\ntable map a+0 4K r\n")
    executor = Executor(candidate.get(version(name)), program)
    seen = Caches(executor.side.kernel)
    executor.create()
    for at in range(len(program.operations)):
        executor.step(at)
    executor.destroy()
    executor.dismantle()
    assert sorted(seen.named.values()) == ["", "mmu_page_cache", "mmu_page_cache", "split_page_cache"]


@pytest.mark.parametrize("name", FILLED)
def test_a_top_up_of_another_cache_is_none(name: str, tmp_path: Path) -> None:
    other = FILLED[name].replace("memcache", "&vcpu->kvm->arch.mmu.split_page_cache")
    found = violations(candidate.get(planted(name, tmp_path / "tree", MMU, FILLED[name], other)), PROGRAM)
    assert "memcache: stage2_map_walker: allocation without a top-up after a translation fault" in [
        each.signature for each in found
    ]
    reason = "nothing was topped up for it in mmu_page_cache; a top-up guarantees "
    assert any(each.reason.startswith(reason) and " in split_page_cache" in each.reason for each in found)
    assert violations(candidate.get(version(name)), PROGRAM) == []
