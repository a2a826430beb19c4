# SPDX-License-Identifier: GPL-2.0-only
"""A peer to measure engines by: atheris as it comes, its bytes decoded to programs.

libFuzzer's own mutations of byte strings, beginning with none, led by the lines
of the kernel code that are reached and nothing else. Compiled code has none.
"""

import os
import sys
from typing import Final

from ..language.binary import decode
from .guidance import INSTRUMENTED, functions
from .session import Session

_OPTIONS: Final = (
    # A program is longer than what lengths that grow by and by come to.
    "-len_control=0",
    "-rss_limit_mb=0",
    "-exact_artifact_path=/dev/null",
)


def instrument() -> int:
    """Instrument the kernel code for libFuzzer.

    :returns: the number of its functions
    """
    import atheris

    names = [name for name in sorted(sys.modules) if f"{name}.".startswith(tuple(f"{each}." for each in INSTRUMENTED))]
    every = {id(function): function for name in names for function in functions(sys.modules[name])}
    for function in every.values():
        function.__code__ = atheris.patch_code(function.__code__, trace_dataflow=False)
    return len(every)


def drive(session: Session) -> None:
    """Judge the inputs of libFuzzer, until the unit's budget is spent; then this process ends.

    :raises RuntimeError: there are no lines to be led by
    """
    import atheris

    if not instrument():
        raise RuntimeError("compiled code has no lines to be led by; set S2FUZZ_PURE=1")

    def target(data: bytes) -> None:
        session.judge(decode(data))
        end()

    def end() -> None:
        # libFuzzer does not return.
        if session.over():
            session.finish()
            os._exit(0)

    end()
    # libFuzzer reports there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # It takes 0 for "choose one".
    own = session.unit.seed % ((1 << 32) - 1) + 1
    atheris.Setup(["s2fuzz", f"-seed={own}", *_OPTIONS], target)
    atheris.Fuzz()
