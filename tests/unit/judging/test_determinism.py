# SPDX-License-Identifier: GPL-2.0-only
"""Determinism: a program has the same events, byte for byte, in every run and with any PYTHONHASHSEED."""

import os
import subprocess
import sys
from pathlib import Path

from .event_digests import digests

ROOT = Path(__file__).parents[3]


def test_run_to_run() -> None:
    assert digests(10) == digests(10)


def test_under_two_hash_seeds() -> None:
    said = set()
    for seed in ("1", "2"):
        code = "from tests.unit.judging.event_digests import digests; print(digests(15))"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        said.add(
            subprocess.run(
                [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=True
            ).stdout
        )
    assert len(said) == 1
    assert said.pop().strip()
