# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns that the system, a signal or a kill disturbs lose nothing, and name the reason."""

import errno
import os
from pathlib import Path

import pytest

from fuzz.campaign.campaign import run
from fuzz.campaign.store.database import CampaignError
from fuzz.campaign.view.lines import NoOutput
from fuzz.findings.accepted import Accepted

from .campaigns import SETTINGS


def test_a_file_system_without_locks_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fuzz.campaign.store.log.fcntl.flock", refuse)
    with pytest.raises(CampaignError, match="cannot lock a file: No locks available; use a directory on another"):
        run(folder, SETTINGS, Accepted(), NoOutput())
