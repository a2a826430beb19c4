# SPDX-License-Identifier: GPL-2.0-only
"""The options of libFuzzer: in this process, silent, without files; the supervisor does all monitoring.

https://llvm.org/docs/LibFuzzer.html#options
"""

import os
import random
import sys
from typing import Final

_NEVER: Final = 1_000_000_000
_SIGNALS: Final = ("abrt", "bus", "fpe", "ill", "int", "segv", "term", "trap", "usr1", "usr2", "xfsz")
_OPTIONS: Final = (
    # One mutation per input; the engine stacks its own.
    "-mutate_depth=1",
    # Do not grow lengths gradually: shorter programs are not less informative.
    "-len_control=0",
    # Comparisons in the Python code do not compare bytes of the input.
    "-use_cmp=0",
    # Otherwise libFuzzer counts for each input what its mutants show, and grows as long as it runs.
    "-entropic=0",
    # 0 would not turn these off: atheris sets a timer of its own.
    f"-timeout={_NEVER}",
    f"-report_slow_units={_NEVER}",
    "-rss_limit_mb=0",
    "-malloc_limit_mb=0",
    "-detect_leaks=0",
    "-reload=0",
    "-print_funcs=0",
    "-exact_artifact_path=/dev/null",
    *(f"-handle_{name}=0" for name in _SIGNALS),
)


def arguments(seed: int, longest: int) -> list[str]:
    """Return a command line for libFuzzer, which begins with an empty corpus.

    :param seed: of a unit, from 0
    :param longest: maximum length of an input in bytes
    """
    # libFuzzer takes 0 for "choose one".
    own = random.Random(seed).randrange(1, 1 << 31)
    return ["s2fuzz", f"-seed={own}", f"-max_len={longest}", *_OPTIONS]


def silence() -> None:
    """Discard what native code writes to stdout and stderr; Python's own stderr stays."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
