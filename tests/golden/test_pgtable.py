# SPDX-License-Identifier: GPL-2.0-only
"""The port of pgtable.c behaves like the C file, event for event."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import candidate

from .pgtable_replay import SOURCES, PgtableReplay

DATA = Path(__file__).parent.parent / "data" / "golden"
STREAMS = sorted(DATA.glob("*.jsonl.gz"))


def sequences(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_replay(path: Path) -> None:
    for sequence in sequences(path):
        replay = PgtableReplay(sequence, candidate.get(SOURCES[sequence["source"]]).pgtable)
        for number, op in enumerate(sequence["ops"]):
            got = replay.operation(op)
            where = f"{path.name} sequence {sequence['seq']} operation {number} ({op['op']})"
            for i, (want, have) in enumerate(zip(op["events"], got["events"], strict=False)):
                assert have == want, f"{where} event {i}"
            assert len(got["events"]) == len(op["events"]), where
            if "ret" in op:
                assert got["ret"] == op["ret"], where
        assert replay.pages_left() == sequence["pages_left"]


def test_streams_exist() -> None:
    assert {path.name for path in STREAMS} >= {"original-4k.jsonl.gz", "rfc-v1-1-4k.jsonl.gz", "rfc-v1-3-4k.jsonl.gz"}
