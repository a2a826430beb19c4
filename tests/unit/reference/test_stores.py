# SPDX-License-Identifier: GPL-2.0-only
"""Code that may store to table memory without the kernel layer, recognised from its source."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

import candidate
from reference.kernel import Kernel
from reference.machine.arena import POISON
from reference.machine.granule import Granule
from reference.machine.hardware import Hardware
from reference.machine.words import Words
from reference.mmu import Mmu
from reference.pgtable import Pgtable
from reference.stores import plain_store, writes_once

from ...good_bad.practice_rules import FreesGuestMemory
from ...good_bad.practice_stores import PlainBit

READS = (
    "x = self.mem[ptep]",
    "for pte in self.mem[a:b]: pass",
    "self.k.WRITE_ONCE(p, self.mem[p] & ~1)",
    "memory = [0]",
)
STORES = (
    "self.mem[ptep] = 0",
    "self.mem[ptep] |= 1",
    "self.mem[a:b] = [0]",
    "del self.mem[ptep]",
    "self.k.words[ptep] = 0",
    "self.k.arena.words[ptep] = 0",
    "a, self.mem[ptep] = 1, 2",
    "for self.mem[ptep] in x: pass",
    "mem = self.mem",
    "clear(self.mem, ptep)",
    "self.mem.__setitem__(ptep, 0)",
    "getattr(self, 'mem')[ptep] = 0",
    "with x as self.mem[ptep]: pass",
    "(lambda words: words)(kernel.words)",
)


@pytest.mark.parametrize("line", READS)
def test_reads_are_not_stores(line: str) -> None:
    assert plain_store(f"x = 1\n{line}\n") == 0


@pytest.mark.parametrize("line", STORES)
def test_any_other_use_may_be_a_store(line: str) -> None:
    assert plain_store(f"x = self.mem[0]\n\n{line}\n") == 3


@pytest.mark.parametrize("name", candidate.names())
def test_all_versions_write_once(name: str) -> None:
    version = candidate.get(name)
    assert writes_once(version.pgtable, version.mmu)


def test_classes_of_a_module_with_a_plain_store_do_not() -> None:
    assert writes_once(FreesGuestMemory, Mmu)
    assert not writes_once(PlainBit, Mmu)
    assert not writes_once(Mmu, PlainBit)


def module(name: str, path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Make a module as if it were imported from a file of its own."""
    file = path / f"{name.replace('.', '_')}.py"
    file.write_text(text)
    made = ModuleType(name)
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(text, str(file), "exec"), made.__dict__)
    return made


def test_stores_in_called_code_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a store may be in a base class, or in a function of another module that receives the whole object."""
    head = "from reference.pgtable import Pgtable\n"
    module("mine.helper", tmp_path, "def clear(pgtable, ptep):\n    pgtable.mem[ptep] = 0\n", monkeypatch)
    module("mine.clean", tmp_path, "def look(pgtable, ptep):\n    return pgtable.mem[ptep]\n", monkeypatch)
    text = head + "from {0} import {1}\nclass Mine(Pgtable):\n    def walk(self, ptep):\n        {1}(self, ptep)\n"
    uses = module("mine.uses", tmp_path, text.format("mine.helper", "clear"), monkeypatch)
    looks = module("mine.looks", tmp_path, text.format("mine.clean", "look"), monkeypatch)
    extends = module("mine.extends", tmp_path, "from mine.uses import Mine\nclass More(Mine):\n    pass\n", monkeypatch)
    assert not writes_once(uses.Mine)
    assert writes_once(looks.Mine)
    assert not writes_once(extends.More)


def test_code_without_source_is_not_trusted() -> None:
    made = type("Made", (Pgtable,), {"__module__": "no_such_module"})
    assert not writes_once(made)


def watched() -> Kernel:
    kernel = Kernel(Granule(12), Hardware(Granule(12)))
    kernel.watch_plain_stores()
    kernel.get_zeroed_page()
    return kernel


def test_stores_of_the_kernel_layer_bypass_the_watch() -> None:
    kernel = watched()
    told: list[int] = []
    assert isinstance(kernel.words, Words)
    kernel.words.store = lambda ptep, pte: told.append(ptep)
    kernel.WRITE_ONCE(1, 5)
    kernel.smp_store_release(2, 6)
    kernel.hardware_sets_af(3, 1 << 10)
    assert kernel.words.part(0, 4) == [0, 5, 6, 1 << 10]
    kernel.put_page(0)
    assert kernel.words.part(0, 2) == [POISON, POISON]
    assert told == []
    kernel.words[1:3] = [7, 8]
    kernel.words[4] = 9
    assert told == [1, 2, 4]


@pytest.mark.parametrize("ptep", [-1, -600, 512])
def test_there_is_nothing_outside_of_table_memory(ptep: int) -> None:
    kernel = watched()
    with pytest.raises(IndexError):
        kernel.words[ptep] = 0
    with pytest.raises(IndexError):
        kernel.WRITE_ONCE(ptep, 0)
    with pytest.raises(IndexError):
        kernel.smp_store_release(ptep, 0)
    assert kernel.words.part(0, 512) == [0] * 512
