# SPDX-License-Identifier: GPL-2.0-only
"""A peer engine for measurements: plain atheris, whose bytes are decoded to programs.

It uses libFuzzer's own mutations of byte strings and an empty corpus. Its only guidance is the reached lines of the
kernel code, which compiled code does not have.
"""

import os
import sys
from typing import Final

from ..language.binary import decode
from .guidance import INSTRUMENTED, functions
from .unit_run import UnitRun

_OPTIONS: Final = (
    # A program is longer than the lengths that libFuzzer would gradually reach.
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


def drive(unit_run: UnitRun) -> None:
    """Judge the inputs of libFuzzer until the unit's budget is spent, then end this process.

    :raises RuntimeError: there are no lines to guide libFuzzer
    """
    import atheris

    if not instrument():
        raise RuntimeError("compiled code has no lines to guide libFuzzer; set S2FUZZ_PURE=1")

    def target(data: bytes) -> None:
        unit_run.judge(decode(data))
        end()

    def end() -> None:
        # libFuzzer does not return.
        if unit_run.over():
            unit_run.finish()
            os._exit(0)

    end()
    # libFuzzer reports on stderr.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # libFuzzer takes 0 for "choose one".
    own = unit_run.unit.seed % ((1 << 32) - 1) + 1
    atheris.Setup(["s2fuzz", f"-seed={own}", *_OPTIONS], target)
    atheris.Fuzz()
