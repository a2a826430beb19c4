# SPDX-License-Identifier: GPL-2.0-only
"""Books of a campaign to test with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.campaign.campaign import opened
from fuzz.campaign.store.code import code_of
from fuzz.campaign.store.records import Records
from fuzz.campaign.work.plan import Planner
from fuzz.findings.accepted import Accepted

from .campaigns import SETTINGS


@pytest.fixture
def records(tmp_path: Path) -> Iterator[tuple[Records, Planner]]:
    """The books of a new campaign, without anybody who works."""
    with opened(tmp_path / "campaign", SETTINGS) as (db, _, corpus, seed):
        made = Records(db, corpus, SETTINGS, code_of("original", "rfc-v1"), Accepted())
        made.begin(1)
        yield made, Planner(db, corpus, SETTINGS, seed)
