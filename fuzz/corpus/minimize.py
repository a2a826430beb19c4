# SPDX-License-Identifier: GPL-2.0-only
"""Minimization of a corpus: the remaining programs have the same features, and none of them is superfluous."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..language.text import print_program
from .covering import Size, covering
from .folder import Corpus, CorpusError, failure
from .observation_cache import Observations
from .observing import Observed, observe

LOCK: Final = ".minimize.lock"
# Upper bound, in seconds, of the work that a killed run loses.
_SAVE_EVERY: Final = 1.0


@dataclass(slots=True)
class ReducedCorpus:
    """The result of minimizing a corpus.

    :param before: number of programs before, with *operations_before* operations; *after*: number of remaining ones
    :param observed: programs that this run has run; the features of the others were known
    :param features: number of distinct features, the same before and after
    :param kept: digests, sorted
    :param removed: digests, sorted; with a dry run, those that would be removed
    :param troubled: programs whose features cannot be observed, which are kept
    """

    before: int = 0
    after: int = 0
    operations_before: int = 0
    operations_after: int = 0
    observed: int = 0
    features: int = 0
    kept: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    troubled: list[Observed] = field(default_factory=list)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let only one process at a time decide which programs of a corpus are superfluous.

    :raises CorpusError: another process does so, or the folder cannot be written
    """
    path = folder / LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise failure(path, error) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CorpusError(f"{folder}: another process is minimising it; wait until it has finished") from None
        except OSError as error:
            raise failure(path, error) from None
        yield
    finally:
        os.close(fd)


def observe_all(
    observations: Observations, texts: dict[str, str], workers: int, progress: Callable[[int, int], None]
) -> tuple[dict[str, Observed], int]:
    """Return the features of each program, from the cache or by running it. Save new ones as they come.

    Once all are known, those of other code are deleted from the cache.

    :param texts: texts of programs, keyed by digest
    :param progress: called with the number of known programs and the total
    :returns: the features, and the number of programs that were run
    :raises CorpusError: they cannot be saved
    :raises fuzz.corpus.observing.ObservingError: no process can observe anything
    """
    known = observations.known(texts)
    missing = [(digest, text) for digest, text in texts.items() if digest not in known]
    progress(len(known), len(texts))
    saved = time.monotonic()
    try:
        for observed in observe(missing, *observations.versions, workers):
            known[observed.digest] = observed
            observations.note(observed)
            progress(len(known), len(texts))
            if time.monotonic() - saved >= _SAVE_EVERY:
                observations.save()
                saved = time.monotonic()
    finally:
        observations.save()
    observations.forget_other_code()
    return known, len(missing)


def minimize(
    corpus: Corpus,
    reference: str,
    candidate: str,
    workers: int,
    dry_run: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    remark: Callable[[str], None] = lambda line: None,
) -> ReducedCorpus:
    """Remove programs whose features others have, the largest first.

    If killed at any point and started again, it continues, and ends with the same
    programs. Programs that are added meanwhile stay.

    :param reference: name of the version that *candidate*, also a name, is compared with
    :param workers: number of processes
    :param dry_run: remove nothing
    :param progress: called with the number of known programs and the total
    :param remark: called with remarks for people
    :raises CorpusError: the folder cannot be written, or another process minimises it
    :raises fuzz.corpus.observing.ObservingError: no process can observe anything
    """
    if dry_run:
        return decide(corpus, reference, candidate, workers, True, progress, remark)
    with exclusive(corpus.folder):
        corpus.sweep()
        return decide(corpus, reference, candidate, workers, False, progress, remark)


def decide(
    corpus: Corpus,
    reference: str,
    candidate: str,
    workers: int,
    dry_run: bool,
    progress: Callable[[int, int], None],
    remark: Callable[[str], None],
) -> ReducedCorpus:
    """Do as `minimize`, while no other process minimises the corpus."""
    observations = observations_of(corpus, reference, candidate, dry_run)
    try:
        if observations.remark:
            remark(observations.remark)
        if not dry_run and (left := observations.superfluous()):
            remark(f"an earlier run left {len(left)} superfluous programs; removing them")
            remove(corpus, observations, left)
        texts: dict[str, str] = {}
        sizes: dict[str, Size] = {}
        for digest, program in corpus.programs():
            texts[digest] = print_program(program)
            sizes[digest] = len(program.operations), len(texts[digest]), digest
        known, run = observe_all(observations, texts, workers, progress)
        features = {digest: each.features for digest, each in known.items() if each.features is not None}
        done = ReducedCorpus(before=len(texts), observed=run)
        done.troubled = [known[digest] for digest in texts if known[digest].features is None]
        done.features = len({feature for found in features.values() for feature in found})
        kept = covering(features, sizes).union(each.digest for each in done.troubled)
        done.kept = sorted(kept)
        done.removed = [digest for digest in texts if digest not in kept]
        done.after = len(done.kept)
        done.operations_before = sum(operations for operations, _, _ in sizes.values())
        done.operations_after = sum(sizes[digest][0] for digest in kept)
        if not dry_run:
            observations.decide(done.removed)
            remove(corpus, observations, done.removed)
        return done
    finally:
        observations.close()


def observations_of(corpus: Corpus, reference: str, candidate: str, dry_run: bool) -> Observations:
    """Open the cache. A dry run of a corpus that cannot be written uses a cache in memory.

    :raises CorpusError: the cache cannot be written
    """
    try:
        return Observations(corpus.folder, reference, candidate)
    except CorpusError:
        if not dry_run:
            raise
        return Observations(None, reference, candidate)


def remove(corpus: Corpus, observations: Observations, digests: list[str]) -> None:
    """Remove the programs that were decided on."""
    for digest in digests:
        corpus.remove(digest)
    observations.forget(digests)
    observations.decide([])
