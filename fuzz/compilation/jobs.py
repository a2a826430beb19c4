# SPDX-License-Identifier: GPL-2.0-only
"""The C files of a build as jobs for the C compiler: the level of optimisation that pays, the longest job first."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

FULL: Final = "-O2"
NONE: Final = "-O0"
# Compiles in less than half the time of `FULL`.
USUAL: Final = "-Og"
# C files that take most of the time of judging, by parts of their names: full optimisation pays there.
HOT: Final = (
    *("reference___pgtable.", "reference___kernel.", "machine___spans.", "machine___address_space."),
    "machine___descriptor.",
    *("checkers___backing.", "checkers___shadow.", "checkers___table.", "checkers___translation."),
    *("runtime___replay.", "runtime___replay_host.", "runtime___tree.", "runtime___process."),
)
# C files whose code runs once a program, or less: without optimisation they compile in two thirds of the time.
COLD: Final = (
    *("generation___", "language___", "candidate___original", "__native_s2fuzz."),
    *("tree___lines___", "runtime___errors.", "runtime___history.", "runtime___script.", "runtime___versions."),
    *("checkers___plain_store.", "checkers___registry.", "checkers___rule."),
    *("judging___bearers.", "judging___notes.", "judging___predicates."),
    *("execution___hyp_operations.", "execution___mistakes.", "execution___order.", "execution___unhandled."),
    *("machine___hardware.", "reference___belongings.", "reference___events."),
)
# Seconds for a megabyte of C, about: the order of jobs and the time left follow from it.
SPEED: Final = {NONE: 1.6, USUAL: 2.5, FULL: 6.5}
# Seconds for a file of any size.
START: Final = 0.1


@dataclass(frozen=True)
class Job:
    """A C file to compile.

    :param extension: the extension module that it is a part of
    :param source: its path
    """

    extension: Any
    source: str

    @property
    def is_module(self) -> bool:
        """Tell whether it holds the code of a module of ours."""
        name = Path(self.source).name
        return name.startswith("__native_") and "___" in name

    @property
    def level(self) -> str:
        """The compiler's option for optimisation."""
        name = Path(self.source).name
        if self.extension.name != LIBRARY or any(part in name for part in COLD):
            return NONE
        # The runtime of mypyc is hot as a whole.
        return FULL if not self.is_module or any(part in name for part in HOT) else USUAL

    @property
    def cost(self) -> float:
        """Seconds that it takes, about."""
        return START + SPEED[self.level] * os.path.getsize(self.source) / 1e6


def jobs(extensions: Iterable[Any]) -> list[Job]:
    """The C files of all extension modules, the longest jobs first."""
    found = [Job(extension, source) for extension in extensions for source in extension.sources]
    return sorted(found, key=lambda job: (-job.cost, job.source))
