# SPDX-License-Identifier: GPL-2.0-only
"""The mutation score of trials, as text and as a page."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .equivalents import contradicted, declared, equivalent, harmless, name_of
from .trial import COST, MutantTrial

_HEAD: Final = """\
# Mutation score

A mutant is the original with one small change of one function of `pgtable.c`, `mmu.c` or `tlb.c`, as cosmic-ray makes
it, or with one statement left out. Each runs beside the original, on the corpus first, then on random programs, until
a difference shows. This page is made by `make bench-mutants` from the trials in `mutation-score.jsonl`; do not
edit it. [Benchmarks](benchmarks.md#how-many-small-changes-are-noticed) explains the measurement.

"""


@dataclass(frozen=True, slots=True)
class Score:
    """The result of trials.

    :param mutants: number of mutants tried
    :param killed: number of mutants that a finding told from the original, or that crashed or hung
    :param by_corpus: number of killed mutants that a program of the corpus killed
    :param by_cost: number of killed mutants that differ only in cost
    :param equivalents: number of other mutants that are declared equivalent without contradiction
    :param contradicted: number of declared mutants with other events or findings
    :param share: killed part of the mutants that are not equivalent; None if there are none
    :param alive: mutants that are neither killed nor equivalent
    """

    mutants: int
    killed: int
    by_corpus: int
    by_cost: int
    equivalents: int
    contradicted: int
    share: float | None
    alive: tuple[MutantTrial, ...]


def score(trials: Sequence[MutantTrial]) -> Score:
    """Return the score of trials."""
    killed = [each for each in trials if each.killed]
    equivalents = [each for each in trials if equivalent(each)]
    alive = tuple(each for each in trials if not each.killed and each not in equivalents)
    judged = len(trials) - len(equivalents)
    share = len(killed) / judged if judged else None
    by_corpus = sum(not each.by.startswith("random ") for each in killed)
    by_cost = sum(each.killed.startswith(COST) for each in killed)
    wrong = len(contradicted(trials))
    return Score(len(trials), len(killed), by_corpus, by_cost, len(equivalents), wrong, share, alive)


def text(found: Score) -> str:
    """Return the score for a terminal."""
    lines = [summary(found)]
    for each in found.alive:
        how = (
            "behaves differently, without a finding"
            if each.silent
            else f"does the same for {each.operations} operations"
        )
        lines.append(f"alive: {each.function} ({each.operator}): {each.change}: {how}")
    if found.contradicted:
        lines.append(f"{found.contradicted} mutants declared equivalent are not: see fuzz/mutation/equivalents.toml")
    return "\n".join(lines) + "\n"


def summary(found: Score) -> str:
    """Return one line."""
    share = "-" if found.share is None else f"{100 * found.share:.1f} %"
    return (
        f"{found.killed} of {found.mutants} mutants killed ({found.by_corpus} by the corpus; {found.by_cost} by "
        f"cost alone), {found.equivalents} equivalent, {len(found.alive)} alive: {share} of the non-equivalent mutants"
    )


def page(trials: Sequence[MutantTrial]) -> str:
    """Return the page, as Markdown."""
    found = score(trials)
    lines = [summary(found) + ".", "", "## By operator", ""]
    lines += ["| operator | mutants | killed | equivalent |", "|---|---|---|---|"]
    counts = [
        Counter(family(each) for each in chosen)
        for chosen in (
            trials,
            [each for each in trials if each.killed],
            [each for each in trials if not each.killed and each not in found.alive],
        )
    ]
    lines += [f"| {name} | {' | '.join(str(count[name]) for count in counts)} |" for name in sorted(counts[0])]
    lines += ["", "## By cost alone", "", "They do more work than the original, but nothing wrong.", ""]
    dear = [each for each in trials if each.killed.startswith(COST)]
    lines += ["| function | change | work |", "|---|---|---|"] if dear else ["None."]
    lines += [f"| {each.function} | {cell(each.change)} | {each.killed.removeprefix(COST)} |" for each in dear]
    lines += ["", "## Alive", ""]
    if found.alive:
        lines += ["| function | operator | change | on all programs |", "|---|---|---|---|"]
    for each in found.alive:
        how = "other events, no finding" if each.silent else f"the same, for {each.operations} operations"
        lines.append(f"| {each.function} | {each.operator} | {cell(each.change)} | {how} |")
    lines += [] if found.alive else ["None."]
    equivalents = [each for each in trials if equivalent(each)]
    same = [each for each in equivalents if name_of(each) not in harmless()]
    least = min((each.operations for each in same), default=0)
    lines += ["", "## Equivalent", ""]
    lines += [f"Their events equal those of the original on the corpus and on at least {least} operations.", ""]
    lines += reasons(same)
    lines += [
        "",
        "## Harmless",
        "",
        "Their events differ, but neither the host nor a guest can see a difference.",
        "",
    ]
    lines += reasons([each for each in equivalents if name_of(each) in harmless()])
    return _HEAD + "\n".join(lines) + "\n"


def reasons(trials: Sequence[MutantTrial]) -> list[str]:
    """Return the lines of a table of mutants declared as equivalent, with the reasons."""
    lines = ["| function | change | reason |", "|---|---|---|"]
    lines += [f"| {each.function} | {cell(each.change)} | {declared()[name_of(each)]} |" for each in trials]
    return lines if trials else ["None."]


def family(trial: MutantTrial) -> str:
    """Return the operator without the details of the replacement."""
    return trial.operator.partition("_")[0]


def cell(change: str) -> str:
    """Return a change as code for a table cell."""
    return "`" + change.replace("|", "\\|") + "`"
