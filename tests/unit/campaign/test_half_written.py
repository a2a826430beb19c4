# SPDX-License-Identifier: GPL-2.0-only
"""Directories of campaigns that a full disk, a kill or damage left in a half-written state: one line for each."""

import errno
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fuzz.campaign.campaign import open_campaign
from fuzz.campaign.store.database import NAME, CampaignError
from fuzz.corpus import Corpus
from fuzz.distribution import corpus_folder

from ..console import in_process, refused
from .campaigns import SETTINGS

NOT_BEGUN = "campaign: the campaign has not begun, because it was killed or its disk was full; free space there, and"
DAMAGED = "campaign.sqlite: the database is damaged; use an intact database, or a new directory"


def sql(*statements: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with closing(sqlite3.connect(folder / NAME)) as db:
            for each in statements:
                db.execute(each)
            db.commit()

    return change


def short(size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / NAME, size)


def misspell(folder: Path) -> None:
    """Damage the statements that made the tables."""
    data = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(data.replace(b"CREATE TABLE", b"CREATE \xd6ABLE"))


def file_instead(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.with_name("away"))
        (folder / name).touch()

    return change


# What `status` and `campaign` say; "": no error.
STATES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "an empty database": (short(0), NOT_BEGUN, ""),
    "no settings": (sql("DELETE FROM settings"), NOT_BEGUN, ""),
    "a part of the header": (short(50), DAMAGED, DAMAGED),
    "a part of the database": (short(8192), DAMAGED, DAMAGED),
    "a table is missing": (sql("DROP TABLE sessions"), DAMAGED, DAMAGED),
    "a bad number": (sql("UPDATE settings SET value = 'x' WHERE key = 'seed'"), DAMAGED, DAMAGED),
    "a bad text": (sql("UPDATE settings SET value = CAST(x'd6' AS TEXT) WHERE key = 'seed'"), DAMAGED, DAMAGED),
    "bad statements": (misspell, DAMAGED, DAMAGED),
    "a file instead of the findings": (file_instead("findings"), "", "campaign/findings is a file; name a directory"),
    "a file instead of the corpus": (file_instead("corpus"), "", "campaign/corpus: "),
}


@pytest.fixture
def begun(folder: Path) -> Path:
    """Return the directory of a campaign that has judged nothing yet."""
    with open_campaign(folder, SETTINGS):
        pass
    return folder


@pytest.mark.parametrize("state", STATES)
def test_status_and_campaign_have_one_line(begun: Path, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, of_status, of_campaign = STATES[state]
    change(begun)
    call = in_process(capsys)
    status = call("status", str(begun))
    if of_status:
        refused(status, of_status)
    else:
        assert status[0] == 4
    if of_campaign:
        campaign = call("campaign", str(begun), "--candidate", "rfc-v1", "--hours", "0.0001", "--workers", "1")
        refused(campaign, of_campaign)
    else:
        with open_campaign(begun, SETTINGS) as parts:
            assert parts.seed == 1


def test_a_campaign_that_judged_nothing_has_no_verdict(begun: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = in_process(capsys, "status", str(begun))
    code, out, err = status()
    assert code == 4
    assert "not begun; the same command begins it" in out
    assert err == f"s2fuzz: nothing was judged, so there is no verdict; see {begun}/log; the same command resumes\n"
    code, out, _ = status("--json")
    assert code == 4
    assert json.loads(out)["exit_code"] == 4


def test_a_full_disk_leaves_no_corpus_with_some_of_the_seeds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, left = os.fsync, [5]

    def full(fd: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(fd)

    with monkeypatch.context() as patch:
        patch.setattr("fuzz.files.os.fsync", full)
        with pytest.raises(CampaignError, match="No space left on device"), open_campaign(folder, SETTINGS):
            pass
    with open_campaign(folder, SETTINGS):
        pass
    seeds = len(list((corpus_folder() / "seeds").glob("*.s2")))
    assert len(list(Corpus(folder / "corpus").digests())) == seeds
    assert not list(folder.glob(".corpus*"))
