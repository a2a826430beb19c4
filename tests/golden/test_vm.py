# SPDX-License-Identifier: GPL-2.0-only
"""The ports of mmu.c and pgtable.c together behave like the C files, event for event."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import candidate

from .vm_replay import VmReplay

DATA = Path(__file__).parent.parent / "data" / "golden" / "vm"
STREAMS = sorted(DATA.glob("*.jsonl.gz"))


def sequences(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def compare(want: dict[str, Any], got: dict[str, Any], where: str) -> None:
    """Compare every field of the replay, and events one by one for a readable difference."""
    for key, value in got.items():
        if key in ("events", "before"):
            for i, (a, b) in enumerate(zip(want[key], value, strict=False)):
                assert b == a, f"{where} {key} {i}"
            assert len(value) == len(want[key]), f"{where} {key}"
        elif key == "attempts":
            assert len(value) == len(want[key]), where
            for number, (a, b) in enumerate(zip(want[key], value, strict=True)):
                compare(a, b, f"{where} attempt {number}")
        elif key == "meanwhile":
            compare(want[key], value, f"{where} meanwhile")
        else:
            assert value == want.get(key), f"{where} {key}"
    missing = set(want) - set(got) - ARGUMENTS
    assert not missing, f"{where}: not answered: {missing}"


# Fields of an operation that are its input, not its outcome.
ARGUMENTS = {
    *("op", "slot", "flags", "gpa", "size", "hva", "topup_gets", "vcpu", "ipa", "kind", "start", "end", "blockable"),
    *("reason", "backing", "pfn", "bracketed", "flush", "word", "mask", "was", "now", "pa", "writable"),
    *("table_alloc", "small_alloc_fails_at", "empty_cache", "invalidation_during_lookup", "forced_syndrome"),
}


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_replay(path: Path) -> None:
    for sequence in sequences(path):
        replay = VmReplay(sequence, candidate.get(sequence["source"]))
        for number, op in enumerate(sequence["ops"]):
            where = f"{path.name} sequence {sequence['seq']} operation {number} ({op['op']})"
            if op["op"] == "destroy":
                assert replay.leaves() == sequence["leaves"], where
            compare(op, replay.operation(op), where)
        assert replay.pages_left() == sequence["pages_left"]


def test_streams_exist() -> None:
    names = {path.name for path in STREAMS}
    for source in ("original", "rfc-v1"):
        assert {f"{source}-4k.jsonl.gz", f"directed-{source}-4k.jsonl.gz"} <= names
