# SPDX-License-Identifier: GPL-2.0-only
"""The C files of a build as compiler jobs, each with the optimisation level that pays off, the longest job first."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

FULL: Final = "-O2"
NONE: Final = "-O0"
# Compiles in half the time of `FULL`; with `MORE` the code is nearly as fast.
USUAL: Final = "-O1"
# Options of gcc for that level: without passes that gain little on code from mypyc, with cheap passes that do.
MORE: Final = (
    *("-fno-tree-pre", "-fno-tree-vrp", "-fno-ivopts", "-fno-tree-loop-optimize", "-fno-tree-slsr", "-fno-tree-sink"),
    *("-fno-tree-dominator-opts", "-fno-tree-pta", "-fno-tree-bit-ccp", "-fno-tree-dse", "-fno-dse"),
    *("-fno-if-conversion", "-fno-if-conversion2", "-finline-small-functions", "-foptimize-sibling-calls"),
    *("-fstrict-aliasing", "-fexpensive-optimizations", "-fcse-follow-jumps", "-fcaller-saves", "-fipa-ra"),
    *("-fpeephole2", "-freorder-functions", "-freorder-blocks-and-partition"),
)
# C files that take most of the time of judging relative to their size, by parts of their names. A profile of the
# training run places their hot code together.
HOT: Final = (
    *("reference___pgtable.", "reference___kernel.", "reference___services___", "reference___assembly."),
    *("reference___observers.", "reference___kvm.", "reference___kvm_host.", "reference___syndrome."),
    *("machine___address_space.", "machine___computer.", "machine___descriptor.", "machine___granule."),
    *("machine___hardware.", "machine___host_pages.", "machine___memory.", "machine___processor.", "machine___spans."),
    *("machine___sparse.", "machine___tlb.", "machine___walk.", "machine___whole_frames."),
    *(),
    *("checkers___backing.", "checkers___bbm.", "checkers___checker.", "checkers___context."),
    *("checkers___fault_marks.", "checkers___fault_order.", "checkers___fault_steps.", "checkers___hyp."),
    *("checkers___invalidated_range.", "checkers___lifetime.", "checkers___locking.", "checkers___operation_ranges."),
    *("checkers___page_pins.", "checkers___page_reference.", "checkers___progress.", "checkers___refcount."),
    *("checkers___shadow.", "checkers___suite.", "checkers___table.", "checkers___translation."),
    *("checkers___unmapped_range.", "checkers___walk_order."),
    *("execution___guest_accesses.", "judging___matching."),
    *("judging___flush_notes.", "judging___predicate_notes.", "judging___stretch."),
    *("sides___guest.", "sides___host_notifications.", "sides___notified.", "sides___side."),
)
# The code that drives kernel trees: the training run has no trees and therefore gives no profile of it.
_TREES: Final = ("candidate___tree___",)
# Equally hot but without a profile: full optimisation pays off.
UNTRAINED: Final = (
    *("runtime___replay.", "runtime___replay_host.", "runtime___replay_vms.", "runtime___tree."),
    *("runtime___exchange.", "runtime___host_pages.", "runtime___process.", "runtime___sent_host."),
    *("runtime___history.", "runtime___script.", "runtime___tlb.", "runtime___versions."),
)
# C files whose code runs at most once per program: without optimisation they compile in two thirds of the time.
COLD: Final = (
    *("generation___", "language___", "candidate___original", "__native_s2fuzz."),
    *("lines___branches.", "lines___c_text.", "lines___difference.", "lines___enclosing.", "lines___error_lines."),
    *("lines___outside.", "runtime___errors."),
    *("checkers___plain_store.", "checkers___registry.", "checkers___rule."),
    *("judging___versions_with_bug.", "judging___notes.", "judging___predicates."),
    *("execution___hyp_operations.", "execution___mistakes.", "execution___order.", "execution___unhandled."),
    *("reference___per_actor.", "reference___events."),
)
# Approximate seconds per megabyte of C: used to order jobs and to estimate the remaining time.
SPEED: Final = {NONE: 1.6, USUAL: 2.8, FULL: 6.5}
# Seconds per job of any size: to start the compiler, and to load the precompiled headers.
START: Final = 0.15
# Modules of one level are compiled as one file up to this size in bytes, small enough to keep all cores busy.
JOINED: Final = {NONE: 700_000, USUAL: 250_000}


@dataclass(frozen=True)
class Job:
    """C files that are compiled as one.

    :param extension: the extension module that they belong to
    :param sources: their paths; several only if they are modules of ours
    :param thorough: whether all modules except those in `COLD` count as hot
    """

    extension: Any
    sources: tuple[str, ...]
    thorough: bool = False

    @property
    def modules(self) -> int:
        """Return the number of our modules whose code it holds."""
        return len(self.sources) if holds_module(self.sources[0]) else 0

    @property
    def hot(self) -> bool:
        """Return whether it is compiled with a profile, if there is one."""
        if not self.modules or self.level != USUAL or self.named(_TREES):
            return False
        return self.thorough or self.named(HOT)

    @property
    def joins(self) -> bool:
        """Return whether it may be compiled together with others of its level."""
        return self.modules > 0 and not self.hot and self.level in JOINED

    @property
    def level(self) -> str:
        """Return the compiler's optimisation option."""
        if self.extension.name != LIBRARY or self.named(COLD):
            return NONE
        # The whole runtime of mypyc is hot.
        return FULL if not self.modules or self.named(UNTRAINED) else USUAL

    def named(self, parts: Iterable[str]) -> bool:
        """Return whether the name of its first file contains one of these parts."""
        name = Path(self.sources[0]).name
        return any(part in name for part in parts)

    @property
    def size(self) -> int:
        """Return the size of its C files in bytes."""
        return sum(os.path.getsize(source) for source in self.sources)

    @property
    def cost(self) -> float:
        """Return the approximate compile time in seconds."""
        return START + SPEED[self.level] * self.size / 1e6

    def file(self, folder: Path) -> str:
        """Return the file to give to the compiler.

        :param folder: folder for a generated file that includes several others
        """
        if len(self.sources) == 1:
            return self.sources[0]
        joined = folder / f"joined{Path(self.sources[0]).name}"
        joined.write_text("".join(f'#include "{os.path.abspath(source)}"\n' for source in self.sources))
        return str(joined)


def holds_module(source: str) -> bool:
    """Return whether a C file has the code of a module of ours."""
    name = Path(source).name
    return name.startswith("__native_") and "___" in name


def jobs(extensions: Iterable[Any], thorough: bool = False) -> list[Job]:
    """Return jobs for the C files of all extension modules, the longest first.

    :param thorough: see `Job`
    """
    single = [Job(extension, (source,), thorough) for extension in extensions for source in extension.sources]
    return sorted(joined(single), key=lambda job: (-job.cost, job.sources))


def joined(single: list[Job]) -> list[Job]:
    """Join small modules of one level, except hot ones: starting the compiler takes as long as compiling one of them.

    :param single: jobs of one file each
    """
    done = [job for job in single if not job.joins]
    for level, most in JOINED.items():
        batch: list[Job] = []
        size = 0
        for job in sorted(
            (job for job in single if job.joins and job.level == level), key=lambda job: (job.size, job.sources)
        ):
            if batch and size + job.size > most:
                done.append(as_one(batch))
                batch, size = [], 0
            batch.append(job)
            size += job.size
        if batch:
            done.append(as_one(batch))
    return done


def as_one(batch: list[Job]) -> Job:
    """Return one job that compiles the files of several one-file jobs together."""
    return replace(batch[0], sources=tuple(job.sources[0] for job in batch))
