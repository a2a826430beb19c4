# SPDX-License-Identifier: GPL-2.0-only
"""Run a campaign from its directory: create it the first time, resume it later."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..corpus import Corpus, CorpusError
from ..distribution import corpus_folder
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
FINDINGS = "findings"
# A new corpus until it has all seeds.
_UNFINISHED = ".corpus-unfinished"
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
        # A full disk must not leave a corpus with some of the seeds: nothing would add the others later.
        unfinished = folder / _UNFINISHED
        corpus = Corpus(unfinished)
        for seed in sorted((corpus_folder() / "seeds").glob("*.s2")):
            try:
                corpus.add(load(seed))
            except ProgramError as error:
                lines.say(f"corpus: {error}; skipped")
        try:
            unfinished.rename(path)
        except OSError as error:
            raise CorpusError(f"{path}: {error.strerror or error}; make the folder writable") from None
    corpus = Corpus(path)
    corpus.sweep()
    return corpus


def sweep(folder: Path) -> None:
    """Delete half-written files of a killed session."""
    for path in folder.rglob(".*.tmp"):
        with suppress(OSError):
            path.unlink()
