# SPDX-License-Identifier: GPL-2.0-only
"""Run a campaign from its directory: create it the first time, resume it later."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..corpus import Corpus, CorpusError
from ..corpus.folder import failure as failure_of_corpus
from ..distribution import corpus_folder
from ..files import sync_folder
from ..findings.accepted import Accepted
from ..language.program import ProgramError
from ..language.text import load
from .store import database, log
from .store.database import CampaignError, connect, failure
from .store.log import Log
from .store.parts import OpenCampaign
from .store.settings import Settings, settle
from .view.overview import Overview
from .view.queries import read
from .work.coordinator import Coordinator
from .work.pool import client_of
from .work.upkeep import Screen

CORPUS = "corpus"
# The name of a corpus that does not have all its seeds yet.
NEW_CORPUS = ".corpus"
FINDINGS = "findings"
_OURS = (CORPUS, FINDINGS, log.NAME, database.NAME)


def nothing() -> None:
    """Do nothing; the default for *begin*."""


def run(
    folder: Path, settings: Settings, accepted: Accepted, screen: Screen, begin: Callable[[], None] = nothing
) -> tuple[str, Overview]:
    """Run a campaign until its time is over or somebody stops it.

    :param begin: called once nothing can be refused any more
    :returns: why it ended (`fuzz.campaign.work.stopping`), and its overview at that point
    :raises CampaignError: the directory belongs to something else, cannot be written, or is in use; or the scheduler
        does not answer
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    # Connect first: a wrong address must not leave a new campaign behind.
    with client_of(settings.scheduler) as client, open_campaign(folder, settings) as parts:
        with Coordinator(folder, parts, settings, accepted, screen, client) as coordinator:
            begin()
            why = coordinator.run()
        return why, read(parts.db, folder)


@contextmanager
def open_campaign(folder: Path, settings: Settings) -> Iterator[OpenCampaign]:
    """Open the parts of a campaign for exclusive use by this process."""
    make(folder)
    lines = Log(folder)
    try:
        db = connect(folder)
        try:
            seed = settle(db, str(folder), settings)
            corpus = corpus_of(folder, lines)
            sweep(folder / FINDINGS)
            yield OpenCampaign(db, lines, corpus, seed)
        except sqlite3.Error as error:
            raise failure(folder / database.NAME, error) from None
        except CorpusError as error:
            raise CampaignError(str(error)) from None
        finally:
            with suppress(sqlite3.Error):
                db.close()
    finally:
        lines.close()


def make(folder: Path) -> None:
    """Create the directory, and check that it belongs to this campaign.

    :raises CampaignError: it holds something else, or cannot be created
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / database.NAME).exists():
            others = sorted(name for name in os.listdir(folder) if name not in _OURS and not name.startswith("."))
            if others:
                wrong = f"holds other files ({others[0]!a}) and no campaign"
                raise CampaignError(f"{folder}: {wrong}; name the directory of a campaign, or a new or empty one")
        (folder / FINDINGS).mkdir(exist_ok=True)
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
        if isinstance(error, FileExistsError):
            # The path may be one above the folder.
            wrong = f"{error.filename} is a file" if error.filename != str(folder) else "a file"
        raise CampaignError(f"{folder}: {wrong}; name a directory that can be created and written") from None


def corpus_of(folder: Path, lines: Log) -> Corpus:
    """Return the corpus; a new one begins with the seeds of the checkout.

    :raises CorpusError: it cannot be created
    """
    path = folder / CORPUS
    if not path.exists():
        make_corpus(folder / NEW_CORPUS, path, lines)
    corpus = Corpus(path)
    corpus.sweep()
    return corpus


def make_corpus(new: Path, path: Path, lines: Log) -> None:
    """Create a corpus of the seeds of the checkout under another name, so that *path* has all of them or is absent.

    :param new: that name; it may hold what a killed session has left
    :raises CorpusError: it cannot be created
    """
    corpus = Corpus(new)
    for seed in sorted((corpus_folder() / "seeds").glob("*.s2")):
        try:
            corpus.add(load(seed))
        except ProgramError as error:
            lines.say(f"corpus: {error}; skipped")
    try:
        new.rename(path)
    except OSError as error:
        raise failure_of_corpus(path, error) from None
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Delete half-written files of a killed session."""
    for path in folder.rglob(".*.tmp"):
        with suppress(OSError):
            path.unlink()
