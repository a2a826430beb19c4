# SPDX-License-Identifier: GPL-2.0-only
"""The profile by which hot C files are compiled: how often each branch is taken in a training run.

These files are compiled twice: with counters (`COUNTED`), for a library that does a training run
(`fuzz.compilation.training`), and by what the counters say (`PROFILED`). The compiler finds what belongs to a file
beside its object file. Without a profile, all files are compiled once (`PLAIN`),
or hot ones once more where there is none in the end (`AGAIN`).
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .jobs import FULL, MORE, USUAL, Job

# Seconds that a training run may take, a hundred times what it takes on an idle machine.
LIMIT: Final = 300
# Of the linker, for the library with counters.
LINKED: Final = "--coverage"
# Counters are put in early. What comes later does not change them, and pays only in code that is kept.
_COUNTERS: Final = (
    *("-fprofile-arcs", "-fno-profile-values", "-fprofile-update=single"),
    *("-fno-tree-pre", "-fno-gcse", "-fno-schedule-insns2", "-fno-tree-vectorize", "-fno-ivopts", "-fno-tree-sink"),
    *("-fno-tree-dominator-opts", "-fno-tree-tail-merge", "-fno-ipa-cp", "-fno-ipa-sra", "-fno-ipa-icf", "-fno-ipa-ra"),
    *("-fno-inline-functions", "-fno-crossjumping", "-fno-rerun-cse-after-loop", "-fno-reorder-blocks"),
    *("-fira-algorithm=priority", "-fira-region=one", "-fno-expensive-optimizations", "-fno-peephole2", "-fno-ree"),
    *("-fno-code-hoisting", "-fno-shrink-wrap", "-fno-cprop-registers", "-fno-store-merging"),
    *("-fno-optimize-strlen", "-fno-tree-slsr", "-fno-tree-loop-optimize", "-fno-dse"),
)
# Of code that was never run there is no profile; of a file that was never loaded, none at all.
_COUNTS: Final = (
    *("-fprofile-use", "-fno-profile-values", "-Wno-missing-profile", "-Wno-coverage-mismatch"),
    # Code that mypyc makes has few loops, and calls that could be anything: a fifth of the time without these.
    *("-fno-tree-pre", "-fno-gcse", "-fno-gcse-after-reload", "-fno-tree-vectorize", "-fno-ivopts", "-fno-tracer"),
    *("-fno-tree-loop-optimize", "-fno-unroll-loops", "-fno-peel-loops", "-fno-ipa-cp", "-fno-ipa-sra", "-fno-ipa-icf"),
    *("-fno-code-hoisting", "-fno-tree-slsr", "-fno-optimize-strlen", "-fno-ree"),
    # It sees ways through the code that it did not see before, and warns of more.
    "-Wno-error",
)
# What hot files are given where there is no profile.
_FULLY: Final = ((FULL,), 2.3)
_TRIAL: Final = "int taken; int branch(int way) { if (way) taken++; return taken; }\n"


@dataclass(frozen=True)
class Round:
    """One time that files are compiled.

    :param name: of the round
    :param hot: options for hot files, and how long these take by the time without them
    :param usual: options for files of the usual level, these included
    :param rest: whether the others are compiled, too
    :param final: whether hot files are compiled for good
    """

    name: str
    hot: tuple[Sequence[str], float] = ((), 1.0)
    usual: Sequence[str] = MORE
    rest: bool = True
    final: bool = True

    def takes(self, job: Job) -> bool:
        """Tell whether a job is for this round."""
        return self.rest or job.hot

    def last(self, job: Job) -> bool:
        """Tell whether it is done then."""
        return self.final or not job.hot

    def options(self, job: Job) -> Sequence[str]:
        """The compiler's options in addition."""
        return [*(self.usual if job.level == USUAL else ()), *(self.hot[0] if job.hot else ())]

    def factor(self, job: Job) -> float:
        """The time that it takes, by `Job.cost`."""
        return self.hot[1] if job.hot else 1.0


PLAIN: Final = Round("plain", _FULLY, usual=())
COUNTED: Final = Round("counted", (_COUNTERS, 1.3), final=False)
AGAIN: Final = Round("again", _FULLY, rest=False)
PROFILED: Final = Round("profiled", (_COUNTS, 1.1), rest=False)


def supported(compiler: Sequence[str], folder: Path) -> bool:
    """Tell whether a compiler counts branches, and takes the counts, as gcc does.

    :param compiler: the command
    :param folder: for files of a trial
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "branch.c"
    source.write_text(_TRIAL)
    made = ["-fPIC", USUAL, *MORE, "-c", "branch.c", "-o", "branch.o"]
    return all(
        subprocess.run([*compiler, *arguments], cwd=folder, capture_output=True, check=False).returncode == 0
        for arguments in (
            [*made, *_COUNTERS],
            ["-shared", LINKED, "branch.o", "-o", "branch.so"],
            ["-Werror", *made, *_COUNTS],
        )
    )


def trained(folder: Path) -> str:
    """Do the training run, in parts side by side.

    :param folder: of the extension modules with counters
    :returns: what went wrong; "" if nothing did
    """
    command = [sys.executable, "-m", "fuzz.compilation.training", str(folder)]
    parts = [subprocess.Popen([*command, part], stdin=subprocess.DEVNULL) for part in ("one", "par")]
    try:
        codes = [part.wait(LIMIT) for part in parts]
    except subprocess.TimeoutExpired:
        return f"the training run took more than {LIMIT} s"
    finally:
        for part in parts:
            part.kill()
            part.wait()
    return f"the training run failed: exit code {max(codes, key=abs)}" if any(codes) else ""
