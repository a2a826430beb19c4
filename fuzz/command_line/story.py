# SPDX-License-Identifier: GPL-2.0-only
"""The story of ``s2fuzz demo``: a real review question, then a few seconds of fuzzing. Imported by actions only."""

import argparse
import textwrap
from typing import Final

import candidate

from ..engines.registry import DEFAULT
from ..engines.summary import Keeper, NewFindings, Summary
from ..engines.supervisor import run_unit
from ..engines.unit import Result, Unit
from ..exit_codes import FINE, INTERRUPTED, NO_VERDICT, OUR_MISTAKE, WORSE
from ..judging.cost import Comparison
from ..judging.differential import REGRESSION
from ..language.program import show_bytes
from ..language.text import parse
from ..reports.report import legend, plural
from ..reports.runs import CLEAN
from ..reports.watched import run_all
from .messages import complain, say_form
from .session_code import session_code

SERIES: Final = "rfc-v1-3"
REPAIR: Final = "rfc-v1-fixed"
WHOLE: Final = "rfc-v1"
# The route that settled the review; a copy, because an ordinary installation lacks corpus/.
PROGRAM: Final = """\
s2fuzz 1
vm
slot a size=2M backing=thp log=on
host write a+0 2M
cpu0 read a+4K mmu=off
log a off
cpu1 read a+20K mmu=off
"""
_QUESTION: Final = """\
In February 2021 a patch series made the stage-2 page tables of KVM/arm64 faster. Its reviewers asked: is a clean of \
the data cache missing? s2fuzz runs this program on the original code and on the patched code:"""
_ROUTE: Final = """\
Dirty logging is on, so the first read maps one page of 4K; after it is off, the second read replaces the table of \
pages by one block of 2M. On this path, the original cleans {reference} of data cache, and the series {candidate}. \
cpu1 reads with its MMU off, past the cache, and can see what memory held before the host wrote to it."""
_REPAIRED: Final = """\
The repair cleans the data cache in the function that installs the block. The original cleans {reference}, the \
repair {candidate}. No rule is broken, and guest and host cannot tell the two apart."""
_WIDTH: Final = 100


def tell(text: str, indent: str = "") -> None:
    """Print a paragraph."""
    print(textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent), flush=True)


class StoryError(Exception):
    """The code under test contradicts the story; the message is one line."""


def cleaned(costs: Comparison) -> dict[str, str]:
    """Return the amount of data cache that each side cleaned, as ``2052K``."""
    sides = {"reference": costs.reference, "candidate": costs.candidate}
    return {name: show_bytes(side.bytes_cleaned) for name, side in sides.items()}


def judge(name: str, expected: str, sentences: str) -> None:
    """Judge the program on a candidate and explain the verdict.

    :param expected: the class of the weightiest finding, or ``clean``
    :param sentences: with placeholders ``{reference}`` and ``{candidate}`` for the bytes that each side cleaned
    :raises StoryError: the verdict is not the expected one
    """
    original = candidate.get(candidate.names()[0])
    (run,) = run_all([("demo", parse(PROGRAM))], original, [candidate.get(name)])
    costs = run.verdict.costs if run.verdict else None
    if run.word != expected or costs is None:
        raise StoryError(f"{name} shows {run.word}, not {expected}{': ' if run.trouble else ''}{run.trouble}")
    print(f"{name} against {original.name}: {run.word}")
    for finding in run.findings():
        print(f"  {finding.signature}")
        tell(finding.reason, "      ")
    tell(sentences.format(**cleaned(costs)), "  ")
    print(flush=True)


class FindingPrinter:
    """A printer of findings: each finding of a session once, as soon as it exists.

    :param keeper: collects the findings
    """

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.fresh = NewFindings(keeper.summary)

    def watch(self, result: Result) -> None:
        """Process the result so far."""
        self.keeper.watch(result)
        for found in self.fresh.take():
            print(f"  {result.state.seconds:4.1f} s  {found.kind:<10}  {found.signature}", flush=True)


def command(arguments: argparse.Namespace) -> int:
    """Run ``s2fuzz demo``.

    :raises candidate.UnknownCandidateError: a version of the story is gone
    """
    say_form(argparse.Namespace(command="demo", json=False))
    try:
        review()
    except StoryError as error:
        complain(f"a mistake of s2fuzz: {error}; `s2fuzz run` with the program above shows more")
        return OUR_MISTAKE
    unit = Unit(DEFAULT, candidate.names()[0], WHOLE, arguments.seed, seconds=arguments.seconds)
    return fuzz(unit)


def review() -> None:
    """Answer the review's question on the series and on its repair.

    :raises StoryError: a verdict is not the expected one
    """
    tell(_QUESTION)
    print("\n" + textwrap.indent(PROGRAM, "    "))
    judge(SERIES, REGRESSION, _ROUTE)
    judge(REPAIR, CLEAN, _REPAIRED)


def fuzz(unit: Unit) -> int:
    """Fuzz for a while, and print findings as they arrive.

    :returns: the exit code; findings do not make it nonzero, since the demo is to show them
    """
    limit = f"{unit.seconds:g} s" if unit.seconds is not None else plural(unit.programs or 0, "random program")
    print(
        f"s2fuzz finds such programs on its own. {limit} of fuzzing with the whole series ({unit.candidate}):",
        flush=True,
    )
    summary = Summary(unit.reference, unit.candidate, unit.seed, unit.engine)
    with Keeper(summary) as keeper:
        finder = FindingPrinter(keeper)
        result = run_unit(unit, finder.watch)
        finder.watch(result)
        keeper.finish(result)
    code = session_code(summary, summary.failed)
    if code == INTERRUPTED:
        complain(f"demo: interrupted after {plural(summary.programs, 'program')}")
        return code
    if code == NO_VERDICT:
        complain("demo: no program was judged in this time; try: s2fuzz demo --seconds 60")
        return code
    for crash in (*summary.crashes, *summary.unreplayed):
        complain(f"demo: {crash.kind} {crash.signature}: {crash.reason}")
    print(f"\n{plural(len(summary.findings), 'finding')} in {plural(summary.programs, 'program')}")
    print(f"({legend([found.kind for found in summary.findings], summary.reference)})")
    print(f"To keep them as files:  s2fuzz fuzz --candidate {unit.candidate} --seconds 30 --out findings")
    return FINE if code == WORSE else code
