# SPDX-License-Identifier: GPL-2.0-only
"""The Hypothesis engine: draws programs and shrinks those that show a regression or divergence.

Each round is a search (``hypothesis.find``) for a program with a regression or divergence that no earlier round had.
The search shrinks the program while the unit records its findings. Rounds are short, because Hypothesis remembers
everything it drew and keeps the same starting points during a round.
"""

import gc
import os
import random
from array import array
from hashlib import blake2b
from itertools import count
from typing import Final

from hypothesis import HealthCheck, Phase, Verbosity, find, settings
from hypothesis.errors import NoSuchExample

from ..judging.differential import CLASSES, DIVERGENCE, REGRESSION
from ..language.binary import encode
from ..language.program import Program
from ..properties.strategies import programs
from .unit_run import UnitRun

# Programs per round; with ten or more, Hypothesis begins each round with small ones.
_ROUND: Final = 9
# Rounds between two garbage collections.
_COLLECTED: Final = 20
# Cache size for verdicts: each round begins with the same program, and shrinking revisits many programs.
_KEPT: Final = 1 << 14
# Programs that may be spent on shrinking at the start; later, shrinking may take a third of all programs.
_ADVANCE: Final = 100
# Programs for one shrink: the minimum for which it is started, and the maximum.
_LEAST: Final = 50
_MOST: Final = 400


class _EnoughError(BaseException):
    """Raised to end a round; Hypothesis does not catch it."""


class Remembered:
    """A bounded cache of what programs showed.

    It keeps no part of the programs. Small long-lived objects among many short-lived ones would pin whole pages of
    memory, and the process would grow with each large program.
    """

    def __init__(self) -> None:
        # Indexed by the digest modulo the cache size: the digest, and what the program showed.
        self.digests = array("Q", bytes(8 * _KEPT))
        self.shown: list[tuple[str, ...]] = [()] * _KEPT
        self.common: dict[tuple[str, ...], tuple[str, ...]] = {}

    def get(self, digest: int) -> tuple[str, ...] | None:
        """Return what the program with a digest showed; None: it is not in the cache."""
        place = digest % _KEPT
        return self.shown[place] if self.digests[place] == digest else None

    def put(self, digest: int, keys: tuple[str, ...]) -> None:
        """Remember what a program showed; replace the entry at its index."""
        place = digest % _KEPT
        self.digests[place] = digest
        self.shown[place] = self.common.setdefault(keys, keys)


def digest_of(program: Program) -> int:
    """Return a number of 64 bits, never 0, that identifies a program."""
    return int.from_bytes(blake2b(encode(program), digest_size=8).digest(), "little") or 1


class Search:
    """A search for regressions and divergences, one at a time.

    :param unit_run: judges the programs
    """

    def __init__(self, unit_run: UnitRun) -> None:
        self.unit_run = unit_run
        # Findings already shrunk, as far as time allowed.
        self.done: set[str] = set()
        # The finding being shrunk, and the number of programs still allowed for that.
        self.wanted = ""
        self.left = 0
        # Programs judged while searching, and while shrinking.
        self.drawn = 0
        self.spent = 0
        self.judged = Remembered()
        # The starting points of later rounds.
        self.corpus = list(unit_run.corpus)

    def round(self, number: int) -> None:
        """Draw programs until one shows something worse, and shrink it; or until the round's programs are used up."""
        self.wanted = ""
        chosen = settings(
            max_examples=_ROUND,
            phases=(Phase.generate, Phase.shrink),
            database=None,
            deadline=None,
            derandomize=False,
            print_blob=False,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
        source = random.Random(self.unit_run.unit.seed << 32 | number)
        try:
            find(programs(corpus=tuple(self.corpus)), self.shows, settings=chosen, random=source)
        except (NoSuchExample, _EnoughError):
            pass
        except Exception as error:
            self.unit_run.count_unmade(error)
        if self.wanted:
            self.done.add(self.wanted)

    def shows(self, program: Program) -> bool:
        """Tell whether a program shows the finding being shrunk; without one, choose the next finding to shrink.

        :raises _EnoughError: the budget is spent
        """
        if self.unit_run.over():
            raise _EnoughError
        digest = digest_of(program)
        keys = self.judged.get(digest)
        if keys is None:
            keys = self.judge(program)
            self.judged.put(digest, keys)
        if not self.wanted:
            fresh = [key for key in keys if key not in self.done]
            credit = _ADVANCE + self.drawn // 2 - self.spent
            # With `Unit.until`, the unit searches for one finding and does not want others small.
            if fresh and credit >= _LEAST and not self.unit_run.unit.until:
                self.wanted = fresh[0]
                self.left = min(credit, _MOST)
        return self.wanted in keys

    def judge(self, program: Program) -> tuple[str, ...]:
        """Judge a program and return its regressions and divergences, the gravest class first.

        :raises _EnoughError: shrinking has taken long enough
        """
        if self.wanted:
            if not self.left:
                raise _EnoughError
            self.left -= 1
            self.spent += 1
        else:
            self.drawn += 1
        features = len(self.unit_run.features)
        verdict = self.unit_run.judge(program)
        if verdict is None:
            return ()
        if len(self.unit_run.features) > features and not self.wanted:
            self.corpus.append(program)
        worse = [finding for finding in verdict.findings if finding.kind in (REGRESSION, DIVERGENCE)]
        worse.sort(key=lambda finding: CLASSES.index(finding.kind))
        return tuple([finding.title for finding in worse])


def drive(unit_run: UnitRun) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    # Hypothesis caches data about modules in a folder. Disable that unless the user names a folder.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)
    search = Search(unit_run)
    unit_run.ready()
    for number in count():
        if unit_run.over():
            return
        search.round(number)
        if number % _COLLECTED == 0:
            # Hypothesis leaves reference cycles, and Python collects cycles rarely here.
            gc.collect()
