# SPDX-License-Identifier: GPL-2.0-only
"""The Hypothesis engine: draws programs, and shrinks those that show something worse.

Each round is a search (``hypothesis.find``) for a program with a regression or divergence
that no round before had; it shrinks each one, while the session takes notes. Rounds are
short: Hypothesis remembers all that it drew, and its starting points stay the same in a round.
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
from .session import Session

# Programs of a round; where it is ten or more, Hypothesis begins each with small ones.
_ROUND: Final = 9
# Rounds between two collections of garbage.
_COLLECTED: Final = 20
# Places for verdicts: each round begins with the same program, and shrinking comes by many again.
_KEPT: Final = 1 << 14
# Programs that may be spent on shrinking from the start; then it may take a third of all.
_ADVANCE: Final = 100
# The least that is worth to begin with, and the most for one finding.
_LEAST: Final = 50
_MOST: Final = 400


class _EnoughError(BaseException):
    """Ends a round: Hypothesis lets it pass."""


class Remembered:
    """Remembers what programs showed, so many of them.

    Nothing is kept of the programs: small objects that stay among many that go hold whole pages of memory, and the
    process grows with each large program.
    """

    def __init__(self) -> None:
        # By the last bits of a program's digest: the digest, and what it showed, which many have in common.
        self.digests = array("Q", bytes(8 * _KEPT))
        self.shown: list[tuple[str, ...]] = [()] * _KEPT
        self.common: dict[tuple[str, ...], tuple[str, ...]] = {}

    def get(self, digest: int) -> tuple[str, ...] | None:
        """Return what the program of a digest showed; None: it is not known."""
        place = digest % _KEPT
        return self.shown[place] if self.digests[place] == digest else None

    def put(self, digest: int, keys: tuple[str, ...]) -> None:
        """Remember what a program showed, in the place of another one."""
        place = digest % _KEPT
        self.digests[place] = digest
        self.shown[place] = self.common.setdefault(keys, keys)


def digest_of(program: Program) -> int:
    """A number of 64 bits, not 0, that stands for a program."""
    return int.from_bytes(blake2b(encode(program), digest_size=8).digest(), "little") or 1


class Search:
    """Looks for regressions and divergences, one after the other.

    :param session: judges
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        # Findings that were shrunk, as far as there was time for it.
        self.done: set[str] = set()
        # The finding that is being shrunk, and how many programs that may take yet.
        self.wanted = ""
        self.left = 0
        # Programs judged to find something, and to shrink it.
        self.drawn = 0
        self.spent = 0
        self.judged = Remembered()
        # The starting points of later rounds.
        self.corpus = list(session.corpus)

    def round(self, number: int) -> None:
        """Draw programs until one shows something worse, and shrink that; or until there were enough."""
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
        source = random.Random(self.session.unit.seed << 32 | number)
        try:
            find(programs(corpus=tuple(self.corpus)), self.shows, settings=chosen, random=source)
        except (NoSuchExample, _EnoughError):
            pass
        except Exception as error:
            self.session.lost(error)
        if self.wanted:
            self.done.add(self.wanted)

    def shows(self, program: Program) -> bool:
        """Tell whether a program shows the finding that is being shrunk, or else any that is to be.

        :raises _EnoughError: the budget is spent
        """
        if self.session.over():
            raise _EnoughError
        digest = digest_of(program)
        keys = self.judged.get(digest)
        if keys is None:
            keys = self.judge(program)
            self.judged.put(digest, keys)
        if not self.wanted:
            fresh = [key for key in keys if key not in self.done]
            credit = _ADVANCE + self.drawn // 2 - self.spent
            # A search for one finding does not want others small.
            if fresh and credit >= _LEAST and not self.session.unit.until:
                self.wanted = fresh[0]
                self.left = min(credit, _MOST)
        return self.wanted in keys

    def judge(self, program: Program) -> tuple[str, ...]:
        """Return the regressions and divergences of a program, the heaviest first.

        :raises _EnoughError: shrinking has taken long enough
        """
        if self.wanted:
            if not self.left:
                raise _EnoughError
            self.left -= 1
            self.spent += 1
        else:
            self.drawn += 1
        features = len(self.session.features)
        verdict = self.session.judge(program)
        if verdict is None:
            return ()
        if len(self.session.features) > features and not self.wanted:
            self.corpus.append(program)
        worse = [finding for finding in verdict.findings if finding.kind in (REGRESSION, DIVERGENCE)]
        worse.sort(key=lambda finding: CLASSES.index(finding.kind))
        return tuple([finding.title for finding in worse])


def drive(session: Session) -> None:
    """Judge programs of the unit's seed until its budget is spent."""
    # Hypothesis keeps what it learns of modules in a folder; unless the user names one, nowhere.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", os.devnull)
    search = Search(session)
    session.ready()
    for number in count():
        if session.over():
            return
        search.round(number)
        if number % _COLLECTED == 0:
            # Hypothesis leaves cycles behind, and Python looks for those rarely here.
            gc.collect()
