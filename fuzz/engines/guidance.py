# SPDX-License-Identifier: GPL-2.0-only
"""Guidance of libFuzzer towards programs that show something new: features of runs and lines of the kernel code.

Both use the interface that atheris (https://github.com/google/atheris) has for instrumented code:
``_reserve_counter`` and ``_trace_branch``.
"""

import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, Final

# Features that share a counter hide one another; a session sees some thousands of features. libFuzzer distinguishes
# 2**21 values of counters, 8 per counter.
COUNTERS: Final = 1 << 17
# Maximum number of inputs that libFuzzer keeps; it never releases one.
KEPT: Final = 1536
# States of a counter: not counted in any run; known to libFuzzer; first counted when libFuzzer already had as many
# inputs as it may keep.
_NEW: Final = 0
_SHOWN: Final = 1
_HIDDEN: Final = 2
# The versions of the kernel code. Everything else is the machine below them, or opens, builds and replays versions.
# Lines of a kernel tree are counted in C, and the Python lines that replay its events are most of those that run.
INSTRUMENTED: Final = ("candidate", "reference.mmu", "reference.pgtable")
_NO_VERSIONS: Final = ("candidate.inspection", "candidate.registry", "candidate.tree")


def is_kernel_code(module: str) -> bool:
    """Tell whether a module, given by name, is a version of the kernel code or a part of one."""

    def within(names: tuple[str, ...]) -> bool:
        return f"{module}.".startswith(tuple(f"{each}." for each in names))

    return within(INSTRUMENTED) and not within(_NO_VERSIONS)


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the Python functions that a module defines, including methods of its classes, but no compiled ones."""
    found: list[object] = list(vars(module).values())
    found += [each for value in found if isinstance(value, type) for each in vars(value).values()]
    for value in found:
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            yield value


def instrument(atheris: Any) -> None:
    """Make the imported kernel code count its lines, where it is plain Python."""
    for name in sorted(sys.modules):
        if is_kernel_code(name):
            for function in functions(sys.modules[name]):
                # Tracing comparisons would cost more, and would show libFuzzer numbers that are not in its input.
                function.__code__ = atheris.patch_code(function.__code__, trace_dataflow=False)


class Counters:
    """A part of libFuzzer's table of counters; must be created before atheris is set up.

    Each run counts a feature once: the feature itself encodes how often its fact occurred, as far as that matters.
    libFuzzer keeps an input for its new counters, up to `KEPT` inputs. Counters that are new after that are hidden from
    libFuzzer, which continues with the inputs it has.
    """

    def __init__(self, atheris: Any) -> None:
        self.atheris = atheris
        self.lines: set[int] = set()
        self.started = False
        self.kept = 0
        # If atheris lacks these functions, guidance uses only lines, as atheris counts them.
        self.available = hasattr(atheris, "_reserve_counter") and hasattr(atheris, "_trace_branch")
        if self.available:
            self.first: int = atheris._reserve_counter()
            # libFuzzer does not see the last counter reserved before it runs, so reserve one more.
            for _ in range(COUNTERS + 1):
                atheris._reserve_counter()
            # Counters of lines come first.
            self.known = bytearray(self.first + 1 + COUNTERS)

    def start(self) -> None:
        """Count something in libFuzzer's first run, whose input holds no program; libFuzzer would end otherwise."""
        if self.available:
            if not self.started:
                self.started = True
                self.count = self.atheris._trace_branch
                # From now on, instrumented lines call this: ten times as fast.
                self.atheris._trace_branch = self.lines.add
            self.count(self.first)

    def mark(self, features: tuple[int, ...]) -> bool:
        """Count the features and the lines of a run.

        :returns: whether some of them are new and libFuzzer does not keep the input
        """
        if not self.available:
            return False
        first = self.first + 1
        counters = {first + feature % COUNTERS for feature in features} | self.lines
        self.lines.clear()
        new = [counter for counter in counters if self.known[counter] == _NEW]
        full = self.kept >= KEPT
        for counter in new:
            self.known[counter] = _HIDDEN if full else _SHOWN
        for counter in counters:
            if self.known[counter] == _SHOWN:
                self.count(counter)
        if new and not full:
            self.kept += 1
        return full and bool(new)
