# SPDX-License-Identifier: GPL-2.0-only
"""Reading the database of a campaign that does not run, while a session begins."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fuzz.campaign.store.database import NAME, CampaignError, connect, connect_to_read, transaction


def entries(db: sqlite3.Connection) -> int:
    (count,) = db.execute("SELECT count(*) FROM aside").fetchone()
    return int(count)


def test_a_reader_follows_a_session_that_begins_later(tmp_path: Path) -> None:
    connect(tmp_path).close()
    with closing(connect_to_read(tmp_path)) as reader:
        assert entries(reader) == 0
        for number in range(1, 4):
            # The writer closes the database each time, which moves its log into the file.
            with closing(connect(tmp_path)) as writer, transaction(writer):
                writer.execute("INSERT INTO aside VALUES (?, 'why', '', 0)", (f"file {number}",))
            assert entries(reader) == number
    assert os.listdir(tmp_path) == [NAME]


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    connect(tmp_path).close()
    before = (tmp_path / NAME).read_bytes()
    with closing(connect_to_read(tmp_path)) as reader:
        assert entries(reader) == 0
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM aside")
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == before


def test_a_campaign_can_be_read_where_no_file_can_be_made(tmp_path: Path) -> None:
    """Take the name of the file that SQLite makes for readers."""
    with closing(connect(tmp_path)) as writer:
        writer.execute("INSERT INTO aside VALUES ('file', 'why', '', 0)")
    (tmp_path / f"{NAME}-shm").mkdir()
    with closing(connect_to_read(tmp_path)) as reader:
        assert entries(reader) == 1


def test_records_that_cannot_be_read_are_not_left_out(tmp_path: Path) -> None:
    there = tmp_path / "copy"
    with closing(connect(tmp_path)) as writer:
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.execute("INSERT INTO aside VALUES ('file', 'why', '', 0)")
        there.mkdir()
        for name in NAME, f"{NAME}-wal":
            shutil.copy(tmp_path / name, there)
    (there / f"{NAME}-shm").symlink_to("nowhere/shm")
    with pytest.raises(CampaignError, match=f"its latest records are in {NAME}-wal, which cannot be read"):
        connect_to_read(there)
