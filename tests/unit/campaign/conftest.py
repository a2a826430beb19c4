# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns for tests: their directories, records and overviews."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.campaign.campaign import open_campaign
from fuzz.campaign.store.code import digests_of
from fuzz.campaign.store.records import Records
from fuzz.campaign.view.overview import Overview, WorkerRow
from fuzz.campaign.work.plan import Planner
from fuzz.findings.accepted import Accepted

from .campaigns import FILE, NOW, SETTINGS, SIGNATURE, finding, go_on


@pytest.fixture
def records(tmp_path: Path) -> Iterator[tuple[Records, Planner]]:
    """Make the records of a new campaign without workers."""
    with open_campaign(tmp_path / "campaign", SETTINGS) as (db, _, corpus, seed):
        made = Records(db, corpus, SETTINGS, digests_of("original", "rfc-v1"), Accepted())
        made.begin(1)
        yield made, Planner(db, corpus, SETTINGS, seed)


@pytest.fixture
def overview() -> Overview:
    """Make the overview of a campaign with long names and large numbers."""
    worker = WorkerRow(
        "tcp://192.168.100.100:45678", 123456, "hypothesis", 12345678, 99, 15.0, 900_000, 12345, 987654321
    )
    return Overview(
        "a/folder/that/lies/rather/deep/rfc-v1.campaign", "rfc-v1-fixed", "original", 1, "random", "", "compiled",
        True, "", 3, 12, 1e6, 10**9, 10**11, 123.4, 5678.9, 123456, 2, 1, 98765, 3, 12345, 65.0,
        [(0.0, 1), (1e6, 12345)],
        [
            finding("regression", SIGNATURE, FILE),
            finding("regression", "locking: kvm_handle_guest_abort: lock still held", "findings/x.s2", NOW - 7200),
            finding("common", "contract: kvm_age_hva_handler: WARN", "findings/y.s2", None),
        ],
        [], 4, [worker] * 2, [], None,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "campaign"


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Overview]:
    """Make a campaign that did a few units; tests must not change it."""
    folder = tmp_path_factory.mktemp("done") / "campaign"
    return folder, go_on(folder, 3)


@pytest.fixture
def begun(done: tuple[Path, Overview], folder: Path) -> Overview:
    """Copy that campaign to `folder`; return its overview."""
    shutil.copytree(done[0], folder)
    return done[1]
