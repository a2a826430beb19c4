# SPDX-License-Identifier: GPL-2.0-only
"""Counters of libraries: added, subtracted, sent to another process."""

import json
import struct

import pytest

from candidate.tree.lines.counts import CodeCounts, from_wire

MANY = (1 << 40) + 1


def counts(**libraries: tuple[int, ...]) -> CodeCounts:
    found = CodeCounts()
    for name, values in libraries.items():
        found.add(name, packed(*values))
    return found


def packed(*values: int) -> bytes:
    return struct.pack(f"={len(values)}Q", *values)


def test_sums() -> None:
    found = counts(a=(1, MANY, 0), b=(5,))
    found.merge(counts(a=(255, MANY, 3), c=(7,)))
    assert found.by_library == {"a": packed(256, 2 * MANY, 3), "b": packed(5), "c": packed(7)}
    found.add("b", b"")
    assert found.by_library["b"] == packed(5)


def test_another_build_of_the_same_name_replaces_the_counters() -> None:
    found = counts(a=(1, 2))
    found.add("a", packed(9))
    assert found.by_library == {"a": packed(9)}


def test_a_merge_is_undone() -> None:
    found, other = counts(a=(3, 4), b=(1,)), counts(a=(2, 1), c=(9,))
    found.merge(other)
    found.take_away(other)
    assert found.by_library == {"a": packed(3, 4), "b": packed(1), "c": packed(0)}
    found.take_away(counts(a=(5, 1), b=(1, 1)))
    assert found.by_library == {"a": packed(0, 3), "b": packed(1), "c": packed(0)}


def test_counters_survive_the_wire() -> None:
    found = counts(a=(1, MANY), b=(0,))
    assert from_wire(json.loads(json.dumps(found.to_wire()))).by_library == found.by_library
    assert from_wire({}).by_library == {}
    for text in ("AAAA", "not base64!", "é"):
        with pytest.raises(ValueError, match=r"."):
            from_wire({"a": text})
