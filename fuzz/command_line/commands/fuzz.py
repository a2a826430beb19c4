# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz fuzz``: fuzzing with one engine for a limited time."""

import os
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from ...engines.registry import DEFAULT, PUBLIC, engine_of
from ...exit_codes import NO_VERDICT
from ..command import CLASSES, EXIT_CODES, Command
from ..messages import BadInputError, NoVerdictError, complain, dump, say_form
from ..options import add_known, add_versions
from ..parser import Once, Parser
from ..session_code import session_code
from ..values import folder, programs, seconds, seed, workers

if TYPE_CHECKING:
    from ...engines.summary import Keeper, Summary
    from ...engines.unit import Result, Unit

DEFAULT_SECONDS: Final = 30
# After a session, up to 1/MINIMIZING of its time may be spent on minimising programs.
MINIMIZING: Final = 3
_PROGRESS_EVERY: Final = 0.2
# Moves to the start of a terminal's line and clears it.
_RENEW: Final = "\r\x1b[K"
_ABOUT: Final = """\
Judge programs that an engine generates; report each finding once and keep the
smallest program that shows it. Ctrl-C ends it early, with the findings so far
(exit code 130). Engines: random generates each program from scratch; atheris, guided
by libFuzzer, derives most programs from programs that showed something new.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz fuzz``."""
    add_versions(parser, "the version under test; see `s2fuzz list`", required=True)
    parser.add_argument(
        "--engine", choices=PUBLIC, default=DEFAULT, help="engine that generates the programs (%(default)s)"
    )
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--seconds", type=seconds, metavar="N", help=f"time to fuzz, in seconds ({DEFAULT_SECONDS})")
    limit.add_argument("--programs", type=programs, metavar="N", help="number of programs; the result is reproducible")
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same programs (%(default)s)")
    out = (
        "folder for findings, with a subfolder per candidate; a program is replaced only by a shorter one (%(default)s)"
    )
    parser.add_argument("--out", type=folder, action=Once, default="findings", metavar="DIR", help=out)
    keep = "do not minimise the programs of regressions and divergences at the end"
    parser.add_argument("--no-minimize", action="store_true", help=keep)
    add_known(parser)
    beside = "number of processes that judge (one per core, if the engine supports several)"
    parser.add_argument("--workers", type=workers, metavar="N", help=beside)


def lanes(arguments: Namespace) -> int:
    """Return the number of processes that judge.

    :raises BadInputError: more than one for an engine that supports only one
    """
    wanted: int | None = arguments.workers
    if engine_of(arguments.engine).numbered:
        return wanted or len(os.sched_getaffinity(0))
    if wanted is not None and wanted > 1:
        one = f"engine {arguments.engine} supports one process only, because its programs depend on earlier ones"
        raise BadInputError(f"--workers {wanted}: {one}; allowed: 1, or a campaign, which runs several of them")
    return 1


def fuzz(arguments: Namespace) -> int:
    """Judge programs that an engine makes.

    :raises BadInputError: the engine cannot run here, or the output directory or the accepted findings cannot be used
    :raises NoVerdictError: the processes that judge are killed from outside, or memory runs out
    :raises candidate.UnknownCandidateError: no version with this name
    """
    from ...engines.seeds import shipped
    from ...engines.summary import Keeper, Summary
    from ...engines.supervisor import EngineKilledError
    from ...engines.unit import Unit
    from ...findings.found import folder_name
    from ...findings.replay import Replayer
    from ...judging.hurry import hurry_after
    from ..changes import say_changes
    from ..inputs import known_findings, make_out
    from ..versions import open_versions, say_changed

    start = time.monotonic()
    if arguments.programs is None and arguments.seconds is None:
        arguments.seconds = DEFAULT_SECONDS
    lacking = engine_of(arguments.engine).missing()
    if lacking:
        raise BadInputError(f"--engine {lacking}")
    count = lanes(arguments)
    versions = open_versions(arguments)
    reference, candidate_name = (version.name for version in versions)
    contents = tuple(version.content for version in versions)
    accepted = known_findings(arguments)
    out = make_out(arguments.out, folder_name(candidate_name, reference))
    say_changes(reference, [candidate_name])
    say_form(arguments)
    budget = arguments.programs, arguments.seconds
    corpus = shipped(arguments.engine)
    unit = Unit(arguments.engine, reference, candidate_name, arguments.seed, *budget, corpus=corpus, contents=contents)
    summary = Summary(reference, candidate_name, arguments.seed, arguments.engine, accepted=accepted)
    progress = ProgressLine(summary, sys.stderr.isatty(), quiet=arguments.json)
    with hurry_after(arguments.seconds), Keeper(summary, out, Replayer(contents=contents)) as keeper:
        try:
            result = judge_all(arguments, unit, count, keeper, progress)
        except EngineKilledError as error:
            raise NoVerdictError(str(error)) from None
        finally:
            progress.clear()
    say_changed(versions)
    summary.elapsed = time.monotonic() - start
    return print_summary(summary, result, arguments.json)


def judge_all(arguments: Namespace, unit: "Unit", count: int, keeper: "Keeper", progress: "ProgressLine") -> "Result":
    """Judge the programs of a unit, replay and minimise what they show, and complete the summary.

    :param count: number of processes that judge
    :raises EngineKilledError: as `fuzz.engines.lanes.run_lanes`
    """
    from ...coverage.exercised import exercise
    from ...engines.lanes import run_lanes

    def watch(result: "Result") -> None:
        keeper.watch(result)
        progress.show()

    result = run_lanes(unit, count, watch)
    if result.interrupted and keeper.is_behind(result) and not arguments.json:
        progress.clear()
        complain("interrupted; findings are replayed first, Ctrl-C again skips that")
    keeper.finish(result, count)
    progress.print_new()
    if not arguments.no_minimize:
        keeper.minimize(None if arguments.seconds is None else arguments.seconds / MINIMIZING)
    keeper.summary.exercise = exercise(unit.reference, unit.candidate, result.counts(), result.unjudged())
    return result


def print_summary(summary: "Summary", result: "Result", as_json: bool) -> int:
    """Print the outcome of a session.

    :returns: the exit code
    """
    from ...reports import answers, report
    from ..changes import changes_answer

    code = session_code(summary, summary.failed)
    if as_json:
        changes = changes_answer(summary.reference, [summary.candidate])
        failed = answers.no_verdict_answer(why_unknown(summary)) if code == NO_VERDICT else {}
        dump({**answers.fuzz_answer(summary), "exit_code": code, "changes": changes, **failed})
    else:
        print(report.fuzz_text(summary), end="")
    for accident in result.accidents:
        complain(f"{accident}, which did not recur; the session continued")
    if summary.trouble:
        complain(f"{summary.trouble}; not all programs could be written")
    for found in summary.crashes:
        complain(f"a mistake of s2fuzz: {found.reason}; program: {found.path or f'{found.number} of this seed'}")
    for found in summary.unreplayed:
        place = found.path or f"program {found.number} of this seed"
        complain(f"not filed, because it did not replay: {found.kind} {found.signature}: {found.reason}; {place}")
    return code


def why_unknown(summary: "Summary") -> str:
    """Return why a session has no verdict, in one line."""
    from ...reports import report

    if not summary.programs:
        return "nothing was judged"
    if summary.unknown:
        return "; ".join([report.no_verdict(summary.programs, summary.refused), *report.refused_lines(summary.refused)])
    return next((found.reason for found in summary.unreplayed), "")


class ProgressLine:
    """Progress on stderr: each new finding; on a terminal, also a line that is updated in place.

    :param terminal: whether stderr is a terminal
    :param quiet: show nothing
    """

    def __init__(self, summary: "Summary", terminal: bool, quiet: bool = False) -> None:
        from ...engines.summary import NewFindings

        self.summary = summary
        self.terminal = terminal and not quiet
        self.quiet = quiet
        self.last = 0.0
        self.fresh = NewFindings(summary)

    def show(self) -> None:
        """Print new findings and update the line, at most every `_PROGRESS_EVERY` seconds."""
        from ...reports import report

        self.print_new()
        now = time.monotonic()
        if self.terminal and now - self.last >= _PROGRESS_EVERY:
            self.last = now
            print(f"{_RENEW}{report.progress_text(self.summary)}", end="", file=sys.stderr, flush=True)

    def print_new(self) -> None:
        """Print one line for each new finding."""
        for found in () if self.quiet else self.fresh.take():
            self.clear()
            complain(f"program {found.number}: {found.kind} {found.signature}")
            # Redraw the progress line after it.
            self.last = 0.0

    def clear(self) -> None:
        """Clear the line for other output."""
        if self.terminal:
            print(_RENEW, end="", file=sys.stderr, flush=True)


COMMAND: Final = Command(
    "fuzz",
    "look for programs that show a difference",
    _ABOUT,
    add_arguments,
    fuzz,
    ("s2fuzz fuzz --candidate rfc-v1 --seconds 60 --seed 1",),
    CLASSES + EXIT_CODES,
)
