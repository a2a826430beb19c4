# SPDX-License-Identifier: GPL-2.0-only
"""The cache maintenance of each version: the programs show what their comments describe.

The cmo-* programs are the cells of the table "Cache maintenance when a table becomes a block"; the v7-* programs show
the changes that v7 makes on purpose.
"""

from typing import Final

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.text import load
from reference.events import Observer

from .files import CORPUS

PAGE: Final = 4 << 10
BLOCK: Final = 2 << 20
GIGA: Final = 1 << 30


class Recorder(Observer):
    """Records data ("D") and instruction ("I") side maintenance with its size in bytes, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def dcache(self, pa: int, size: int) -> None:
        self.seen.append(("D", size))

    def icache(self, pa: int, size: int) -> None:
        self.seen.append(("I", size))


def maintenance(version: str, name: str) -> list[list[tuple[str, int]]]:
    """Return the maintenance by *version* in each operation of a regression program."""
    program = load(CORPUS / "regressions" / f"{name}.s2")
    executor = Executor(candidate.get(version), program)
    recorder = Recorder()
    executor.side.kernel.observe(recorder)
    executor.create()
    found: list[list[tuple[str, int]]] = []
    for at in range(len(program.operations)):
        recorder.seen = []
        executor.step(at)
        found.append(recorder.seen)
    return found


# Version -> maintenance after a translation fault on data, on a fetch; after a permission fault on data, on a fetch.
TABLE_BECOMES_BLOCK: Final = {
    "original": ("D", "DI", "", "I"),
    "rfc-v1-1": ("D", "ID", "D", "ID"),
    "rfc-v1-3": ("", "I", "", "I"),
    "rfc-v1": ("", "I", "", "I"),
    "rfc-v1-fixed": ("D", "DI", "D", "DI"),
    "rfc-v2": ("", "", "", ""),
    "v5.12.9": ("D", "DI", "", "I"),
    "v5.14": ("D", "DI", "D", "DI"),
}
PROGRAMS: Final = ("cmo-translation-data", "cmo-translation-exec", "cmo-permission-data", "cmo-permission-exec")


@pytest.mark.parametrize("version", TABLE_BECOMES_BLOCK)
@pytest.mark.parametrize("name", PROGRAMS)
def test_table_becomes_block(name: str, version: str) -> None:
    expected = [(side, BLOCK) for side in TABLE_BECOMES_BLOCK[version][PROGRAMS.index(name)]]
    assert maintenance(version, name)[-1] == expected


@pytest.mark.parametrize("version", TABLE_BECOMES_BLOCK)
def test_only_rfc_v2_cleans_a_device_frame(version: str) -> None:
    executor = Executor(candidate.get(version), load(CORPUS / "regressions" / "cmo-device-first-map.s2"))
    recorder = Recorder()
    executor.side.kernel.observe(recorder)
    executor.create()
    assert recorder.seen == ([("D", PAGE)] if version == "rfc-v2" else [])


def test_v7_cleans_where_a_permission_fault_splits_a_block() -> None:
    at = 4
    assert maintenance("original", "v7-split-cleans")[at] == []
    assert maintenance("v5.14", "v7-split-cleans")[at] == [("D", PAGE)]


def test_v7_does_nothing_if_map_returns_eagain() -> None:
    original = maintenance("original", "v7-nothing-on-eagain")[-1]
    assert original == [("I", GIGA)] * len(original) != []
    assert maintenance("v5.14", "v7-nothing-on-eagain")[-1] == []


def test_v7_maintains_each_leaf() -> None:
    at = 1
    assert maintenance("original", "v7-each-leaf")[at] == [("D", GIGA), ("I", GIGA)]
    assert maintenance("v5.14", "v7-each-leaf")[at] == [("D", BLOCK), ("I", BLOCK)] * (GIGA // BLOCK)


def test_v7_invalidates_only_when_a_page_becomes_executable() -> None:
    assert maintenance("v5.14", "v7-exec-edge") == [[("D", PAGE)], [], [("I", PAGE)], [], [], []]
