# SPDX-License-Identifier: GPL-2.0-only
"""The finding that a command works on, chosen by the program's comments and the options."""

import argparse
from dataclasses import dataclass

from ..execution.refusal import unmodelled
from ..findings.found import CRASH, rank
from ..findings.patterns import matches
from ..findings.renamed import names_of
from ..findings.replay import NO_ANSWER, Replayer
from ..findings.witness import KEY
from ..judging.finding import Finding, Key
from ..language.program import Program
from ..language.text import print_program
from .inputs import read_given
from .messages import BadInputError, NoVerdictError, complain


@dataclass(frozen=True, slots=True)
class Chosen:
    """A program and the chosen one of its findings.

    :param file: name of the program
    :param shown: the finding, as a fresh process shows it
    :param comments: of its file: see `fuzz.findings.found.comments_of`
    """

    file: str
    program: Program
    reference: str
    candidate: str
    shown: Finding
    comments: dict[str, str]

    @property
    def key(self) -> Key:
        return self.shown.key

    @property
    def stamp(self) -> str:
        """The stamp of a real kernel on this finding, as the file has it; "" if there is none."""
        return self.comments.get(KEY, "") if self.comments.get("signature") == self.shown.signature else ""


def choose(arguments: argparse.Namespace, replayer: Replayer) -> Chosen:
    """Return the finding that the arguments choose; this replays the program.

    :raises BadInputError: the program cannot be read, or does not show what is asked for
    :raises NoVerdictError: no process can judge it, or it needs something that is not modelled
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    given = read_given(arguments.program)
    file, program, comments = given.file, given.program, given.comments
    reference, candidate_name = (each.name for each in given.versions(arguments.reference, arguments.candidate))
    # Contains each finding once, the weightiest first.
    replayed = replayer.replay(print_program(program), reference, candidate_name)
    if replayed.refused:
        raise NoVerdictError(f"{file} on {candidate_name}: no verdict: {unmodelled(replayed.refused)}")
    shown = sorted(replayed.findings, key=rank)
    if shown and shown[0].kind == CRASH and shown[0].signature in NO_ANSWER:
        raise NoVerdictError(
            f"{file}: {shown[0].signature}: {shown[0].reason}; nothing is known about the finding; try again"
        )
    if not shown:
        versions = f"{candidate_name} against {reference}"
        raise BadInputError(f"{file}: {versions} shows nothing; give a program with a finding")
    meant = _meant(file, shown, arguments.signature, comments)
    return Chosen(file, program, reference, candidate_name, meant, comments)


def _meant(file: str, shown: list[Finding], pattern: str | None, comments: dict[str, str]) -> Finding:
    """Return the chosen one of the findings, which are sorted by weight.

    Without a pattern it is the one that the comments name, also by a former signature; else the weightiest.
    """
    if pattern is not None:
        fits = [each for each in shown if matches(pattern, each.kind, each.signature)]
        if not fits:
            there = dict.fromkeys(each.title for each in shown)
            raise BadInputError(
                f"{file}: no finding matches --signature {pattern[:200]!a}; there are: {'; '.join(there)}"
            )
        return fits[0]
    kind, signature = comments.get("kind"), comments.get("signature")
    own = [each for each in shown if each.kind == kind and signature in names_of(each.signature)]
    if own:
        return own[0]
    if signature is not None:
        missing = f"{file}: its comments name {kind} {signature}, which these versions do not show"
        complain(f"{missing}; this is about {shown[0].title}; choose with --signature")
    return shown[0]
