# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for all tests."""

import os
import signal
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is slow, which says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell that starts the tests in the background lets them, and all processes they start, ignore SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Traces are as wide as the terminal, and a worker of pytest-xdist inherits the width from the whole run.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# The slowest files, the slowest first: if one of them began last, the other cores would be idle at the end.
LONGEST: Final = (
    "tests/quality/test_finds.py",
    "tests/unit/generation/test_generator_pairs.py",
    "tests/unit/campaign/test_campaign.py",
    "tests/unit/judging/test_silence_process.py",
    "tests/unit/campaign/test_campaign_kills.py",
    "tests/unit/command_line/test_signals.py",
    "tests/unit/test_docs.py",
    "tests/unit/candidate/test_broken_candidates.py",
    "tests/unit/compilation/test_native.py",
    "tests/unit/compilation/test_building.py",
    "tests/good_bad/test_practice_silence.py",
    "tests/unit/engines/test_atheris.py",
    "tests/unit/corpus/test_corpus_minimize.py",
    "tests/quality/test_reach.py",
    "tests/unit/engines/test_supervisor.py",
    "tests/unit/engines/test_hypothesis_engine.py",
    "tests/unit/language/test_program_text.py",
    "tests/unit/command_line/test_cli_answers.py",
    "tests/unit/command_line/test_cli_ends.py",
    "tests/unit/candidate/test_files.py",
    "tests/unit/command_line/test_cover.py",
    "tests/unit/test_how_to_patch.py",
    "tests/unit/benchmark/test_effort.py",
    "tests/unit/command_line/test_demo.py",
    "tests/unit/minimizing/test_minimizing.py",
    "tests/unit/campaign/test_campaign_cluster.py",
    "tests/unit/engines/test_session_files.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of `LONGEST` first; the order within a file stays."""
    rank = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.location[0], len(rank)))
