# SPDX-License-Identifier: GPL-2.0-only
"""The profile for compiling hot C files: how often each branch is taken in a training run.

Hot files are compiled twice: with counters (`COUNTED`), for a library that performs a training run
(`fuzz.compilation.training`), and then with the counts (`PROFILED`). The compiler finds the counts of a file
beside its object file. Without profile support all files are compiled once (`PLAIN`).
If the training run fails, hot files are compiled again without a profile (`AGAIN`).
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .jobs import FULL, MORE, USUAL, Job

# Upper bound in seconds for a training run: a hundred times its duration on an idle machine.
LIMIT: Final = 300
# Linker option for the library with counters.
LINKED: Final = "--coverage"
# Counters are inserted early. Later passes do not change them, and pay off only in code that is kept.
_COUNTERS: Final = (
    *("-fprofile-arcs", "-fno-profile-values", "-fprofile-update=single"),
    *("-fno-tree-pre", "-fno-gcse", "-fno-schedule-insns2", "-fno-tree-vectorize", "-fno-ivopts", "-fno-tree-sink"),
    *("-fno-tree-dominator-opts", "-fno-tree-tail-merge", "-fno-ipa-cp", "-fno-ipa-sra", "-fno-ipa-icf", "-fno-ipa-ra"),
    *("-fno-inline-functions", "-fno-crossjumping", "-fno-rerun-cse-after-loop", "-fno-reorder-blocks"),
    *("-fira-algorithm=priority", "-fira-region=one", "-fno-expensive-optimizations", "-fno-peephole2", "-fno-ree"),
    *("-fno-code-hoisting", "-fno-shrink-wrap", "-fno-cprop-registers", "-fno-store-merging"),
    *("-fno-optimize-strlen", "-fno-tree-slsr", "-fno-tree-loop-optimize", "-fno-dse"),
)
# Code that never ran has no profile, and a file that was never loaded has none at all.
_COUNTS: Final = (
    *("-fprofile-use", "-fno-profile-values", "-Wno-missing-profile", "-Wno-coverage-mismatch"),
    # Code from mypyc has few loops, and its calls could be anything: omitting these passes saves a fifth of the time.
    *("-fno-tree-pre", "-fno-gcse", "-fno-gcse-after-reload", "-fno-tree-vectorize", "-fno-ivopts", "-fno-tracer"),
    *("-fno-tree-loop-optimize", "-fno-unroll-loops", "-fno-peel-loops", "-fno-ipa-cp", "-fno-ipa-sra", "-fno-ipa-icf"),
    *("-fno-code-hoisting", "-fno-tree-slsr", "-fno-optimize-strlen", "-fno-ree"),
    # With a profile the compiler follows more paths and therefore warns more.
    "-Wno-error",
)
# Options for hot files without a profile.
_FULLY: Final = ((FULL,), 2.3)
_TRIAL: Final = "int taken; int branch(int way) { if (way) taken++; return taken; }\n"


@dataclass(frozen=True)
class Round:
    """One compilation of the files.

    :param name: name of the round
    :param hot: options for hot files, and their compile time relative to that without the options
    :param usual: options for files of the usual level, hot files included
    :param rest: whether the other files are compiled, too
    :param final: whether the result for hot files is final
    """

    name: str
    hot: tuple[Sequence[str], float] = ((), 1.0)
    usual: Sequence[str] = MORE
    rest: bool = True
    final: bool = True

    def takes(self, job: Job) -> bool:
        """Return whether a job belongs to this round."""
        return self.rest or job.hot

    def last(self, job: Job) -> bool:
        """Return whether the job is done after this round."""
        return self.final or not job.hot

    def options(self, job: Job) -> Sequence[str]:
        """Return the additional compiler options."""
        return [*(self.usual if job.level == USUAL else ()), *(self.hot[0] if job.hot else ())]

    def factor(self, job: Job) -> float:
        """Return the compile time relative to `Job.cost`."""
        return self.hot[1] if job.hot else 1.0


PLAIN: Final = Round("plain", _FULLY, usual=())
COUNTED: Final = Round("counted", (_COUNTERS, 1.3), final=False)
AGAIN: Final = Round("again", _FULLY, rest=False)
PROFILED: Final = Round("profiled", (_COUNTS, 1.1), rest=False)


def supported(compiler: Sequence[str], folder: Path) -> bool:
    """Return whether a compiler counts branches and uses the counts as gcc does.

    :param compiler: the command
    :param folder: for the files of a trial
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
    """Perform the training run, in parallel parts.

    :param folder: folder of the extension modules with counters
    :returns: an error message; "" on success
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
