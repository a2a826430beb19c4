# SPDX-License-Identifier: GPL-2.0-only
"""What tells libFuzzer that a program showed something new: features of its runs, and lines of the kernel code.

Both go through atheris (https://github.com/google/atheris), whose interface for
instrumented code this is: ``_reserve_counter`` and ``_trace_branch``.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any, Final

ENGINE: Final = "atheris"
# Features that share a counter hide one another; some thousands are seen. libFuzzer tells 2**21
# values of counters apart, 8 of each.
COUNTERS: Final = 1 << 17
# The versions of the kernel code; the rest is what they run on.
INSTRUMENTED: Final = ("candidate", "reference.mmu", "reference.pgtable")


def missing() -> str:
    """As `fuzz.engines.drivers.missing`, for this engine."""
    if find_spec("atheris") is not None:
        return ""
    return "atheris: no such package; allowed: pip install 's2fuzz[atheris]' (Linux on x86_64), or another engine"


class Loader(SourceFileLoader):
    """Makes a module count its lines."""

    def get_code(self, fullname: str) -> CodeType | None:
        import atheris

        code = super().get_code(fullname)
        # Comparisons would cost more, and tell libFuzzer of numbers that are not in its input.
        return None if code is None else atheris.patch_code(code, trace_dataflow=False)


class Finder(MetaPathFinder):
    """Finds the kernel code where it is plain Python; compiled modules are found before."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(f"{fullname}.".startswith(f"{name}.") for name in INSTRUMENTED):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(fullname, spec.loader.path)
        return spec


@contextmanager
def instrumented(engine: str) -> Iterator[None]:
    """Let the kernel code that is imported within count its lines, if that is the engine."""
    if engine != ENGINE or missing():
        yield
        return
    finder = Finder()
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class Counters:
    """A part of libFuzzer's table of counters; to be made after the imports and before atheris is set up.

    Each run counts what it showed once: how often is in the features, as far as it matters.
    """

    def __init__(self, atheris: Any) -> None:
        self.atheris = atheris
        self.lines: set[int] = set()
        self.started = False
        # Without them there are lines alone, as atheris counts them.
        self.there = hasattr(atheris, "_reserve_counter") and hasattr(atheris, "_trace_branch")
        if self.there:
            self.first: int = atheris._reserve_counter()
            # The last one it gives out before it runs is not one that it passes on.
            for _ in range(COUNTERS + 1):
                atheris._reserve_counter()

    def start(self) -> None:
        """In libFuzzer's first run, an input that says nothing; it has to show something, or libFuzzer ends."""
        if self.there:
            if not self.started:
                self.started = True
                self.count = self.atheris._trace_branch
                # What instrumented lines call from now on: ten times as fast.
                self.atheris._trace_branch = self.lines.add
            self.count(self.first)

    def mark(self, features: tuple[int, ...]) -> None:
        """Count the features of a run, and its lines."""
        if self.there:
            for line in self.lines:
                self.count(line)
            self.lines.clear()
            first = self.first + 1
            for counter in {feature % COUNTERS for feature in features}:
                self.count(first + counter)
