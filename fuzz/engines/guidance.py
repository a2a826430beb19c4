# SPDX-License-Identifier: GPL-2.0-only
"""The guidance of libFuzzer towards programs that show something new: features of runs, lines of the kernel code.

Both go through atheris (https://github.com/google/atheris), whose interface for
instrumented code this is: ``_reserve_counter`` and ``_trace_branch``.
"""

import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any, Final

# Features that share a counter hide one another; some thousands are seen. libFuzzer distinguishes 2**21
# values of counters, 8 of each.
COUNTERS: Final = 1 << 17
# Inputs that libFuzzer keeps at most; it never lets go of one.
KEPT: Final = 1536
# What a counter can be: one that no run has counted, one that libFuzzer knows, or one that was counted first when
# libFuzzer already had as many inputs as it may keep.
_NEW: Final = 0
_SHOWN: Final = 1
_HIDDEN: Final = 2
# The versions of the kernel code; the rest is the machine below them, and what opens, builds and replays versions: the
# lines of a kernel tree are counted in C, and those that replay its events are most of all that run.
INSTRUMENTED: Final = ("candidate", "reference.mmu", "reference.pgtable")
_NO_VERSIONS: Final = ("candidate.inspection", "candidate.registry", "candidate.tree")


def is_kernel_code(module: str) -> bool:
    """Tell whether a module, by its name, is a version of the kernel code, or part of one."""

    def within(names: tuple[str, ...]) -> bool:
        return f"{module}.".startswith(tuple(f"{each}." for each in names))

    return within(INSTRUMENTED) and not within(_NO_VERSIONS)


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions that a module defines, methods of its classes included; compiled ones are none."""
    found: list[object] = list(vars(module).values())
    found += [each for value in found if isinstance(value, type) for each in vars(value).values()]
    for value in found:
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            yield value


def instrument(atheris: Any) -> None:
    """Let the kernel code that is imported, and plain Python, count its lines."""
    for name in sorted(sys.modules):
        if is_kernel_code(name):
            for function in functions(sys.modules[name]):
                # Comparisons would cost more, and tell libFuzzer of numbers that are not in its input.
                function.__code__ = atheris.patch_code(function.__code__, trace_dataflow=False)


class Counters:
    """A part of libFuzzer's table of counters; to be made before atheris is set up.

    Each run counts a feature once: the features themselves say how often, as far as it matters. libFuzzer keeps an
    input for new counters, `KEPT` times; those that are new from then on it is not shown, and it goes on with what
    it has.
    """

    def __init__(self, atheris: Any) -> None:
        self.atheris = atheris
        self.lines: set[int] = set()
        self.started = False
        self.kept = 0
        # Without them there are lines alone, as atheris counts them.
        self.there = hasattr(atheris, "_reserve_counter") and hasattr(atheris, "_trace_branch")
        if self.there:
            self.first: int = atheris._reserve_counter()
            # The last one it gives out before it runs is not one that it passes on.
            for _ in range(COUNTERS + 1):
                atheris._reserve_counter()
            # Lines come first.
            self.known = bytearray(self.first + 1 + COUNTERS)

    def start(self) -> None:
        """Show something in libFuzzer's first run, whose input says nothing: else libFuzzer ends."""
        if self.there:
            if not self.started:
                self.started = True
                self.count = self.atheris._trace_branch
                # Instrumented lines call this from now on: ten times as fast.
                self.atheris._trace_branch = self.lines.add
            self.count(self.first)

    def mark(self, features: tuple[int, ...]) -> bool:
        """Count the features of a run, and its lines.

        :returns: whether some of them are new, and libFuzzer does not keep its input
        """
        if not self.there:
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
