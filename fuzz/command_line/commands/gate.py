# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz gate``: a fixed budget of programs for a CI, with a machine-readable outcome."""

from argparse import Namespace
from typing import TYPE_CHECKING, Final

from ...engines.registry import DEFAULT
from ...exit_codes import BAD_INPUT, INTERRUPTED
from ..command import CLASSES, Command
from ..messages import BadInputError, NoVerdictError, complain, dump, say_form
from ..options import add_known, add_versions, add_workers
from ..parser import Once, Parser
from ..session_code import session_code
from ..values import programs, seed

if TYPE_CHECKING:
    from ...engines.summary import Summary
    from ...engines.unit import Result
    from ...gate.outcome import Gate
    from ...judging.finding import Key

PROGRAMS: Final = 1000
_ABOUT: Final = """\
Judge a fixed number of random programs and decide whether a change passes. It
passes if the candidate shows no new regression or divergence: none that is neither
accepted nor in the baseline. The same code gives the same files, byte for byte, on
any machine and with any number of workers. The summary, as Markdown, goes to
standard output.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  passed
    1  failed: new findings, or with --strict-known entries that match nothing
    2  bad usage or input, or a mistake in the candidate's Python; or not exercised:
       no program with a verdict ran the code in which two kernel trees differ
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  no verdict available: most programs need something that is not modelled; a
       kernel tree was edited meanwhile; a process cannot be started, or is killed from
       outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM: no files are written
  141  the reader closed the output
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz gate``."""
    add_versions(parser, "the version under test; see `s2fuzz list`", required=True)
    many = f"number of programs ({PROGRAMS})"
    parser.add_argument("--programs", action=Once, type=programs, default=PROGRAMS, metavar="N", help=many)
    parser.add_argument("--seed", type=seed, default=1, metavar="S", help="same seed, same programs (%(default)s)")
    add_workers(parser)
    add_known(parser)
    parser.add_argument(
        "--strict-known", action="store_true", help="fail the gate if an accepted finding does not occur"
    )
    baseline = "findings of an earlier state, which do not fail the gate"
    parser.add_argument("--baseline", action=Once, metavar="FILE", help=baseline)
    parser.add_argument("--save-baseline", action=Once, metavar="FILE", help="write the findings of this state to FILE")
    for name, form in (("junit", "JUnit XML"), ("sarif", "SARIF"), ("markdown", "the summary")):
        parser.add_argument(f"--{name}", action=Once, metavar="FILE", help=f"write {form} to FILE")


def gate(arguments: Namespace) -> int:
    """Judge a budget of programs.

    :raises BadInputError: accepted findings or baseline cannot be read, or nothing can be written to a file
    :raises NoVerdictError: the processes that judge are killed from outside, or memory runs out
    :raises candidate.UnknownCandidateError: no version with this name
    """
    from ...engines.summary import Summary
    from ...gate.answer import answer
    from ...gate.outcome import gate_of
    from ...gate.summary import markdown
    from ..changes import say_changes
    from ..inputs import known_findings
    from ..versions import open_versions, say_changed

    accepted = known_findings(arguments)
    before = read_baseline(arguments.baseline)
    check_outputs(arguments)
    versions = open_versions(arguments)
    reference, candidate_name = (version.name for version in versions)
    contents = tuple(version.content for version in versions)
    say_changes(reference, [candidate_name])
    say_form(arguments)
    summary = Summary(reference, candidate_name, arguments.seed, DEFAULT, accepted=accepted)
    result = judge(summary, arguments, contents)
    for accident in result.accidents:
        complain(f"{accident}, which did not recur; the session continued")
    if summary.interrupted:
        complain("interrupted: there is no outcome, and no file is written")
        return INTERRUPTED
    outcome = gate_of(summary, before, arguments.strict_known, contents)
    say_changed(versions)
    unwritten = write(outcome, arguments)
    code = BAD_INPUT if unwritten else session_code(outcome.summary, outcome.failed)
    if arguments.json:
        dump({**answer(outcome), "exit_code": code})
    else:
        print(markdown(outcome), end="")
    for trouble in [*outcome.troubles, *unwritten]:
        complain(trouble)
    return code


def judge(summary: "Summary", arguments: Namespace, contents: tuple[str, ...]) -> "Result":
    """Judge the programs, and fill in the summary.

    :param contents: as in `fuzz.engines.unit.Unit`
    :raises NoVerdictError: the processes that judge are killed from outside, or memory runs out
    """
    from ...coverage.exercised import exercise
    from ...engines.lanes import run_lanes
    from ...engines.summary import Keeper
    from ...engines.supervisor import EngineKilledError
    from ...engines.unit import Unit
    from ...findings.replay import Replayer

    versions = summary.reference, summary.candidate
    unit = Unit(DEFAULT, *versions, arguments.seed, arguments.programs, contents=contents)
    with Keeper(summary, replayer=Replayer(contents=contents)) as keeper:
        try:
            result = run_lanes(unit, arguments.workers, keeper.watch)
            keeper.finish(result, arguments.workers)
        except EngineKilledError as error:
            raise NoVerdictError(str(error)) from None
    summary.exercise = exercise(*versions, result.counts(), result.unjudged())
    return result


def read_baseline(path: str | None) -> "list[Key] | None":
    """Return the findings of the baseline; None without a baseline.

    :raises BadInputError: the file cannot be used
    """
    from ...gate.baseline import BaselineError, load_baseline

    try:
        return None if path is None else load_baseline(path)
    except BaselineError as error:
        raise BadInputError(f"--baseline {error}") from None


def outputs(arguments: Namespace) -> dict[str, str]:
    """Return the files to write: option -> name."""
    names = {option: getattr(arguments, option.replace("-", "_")) for option in ("junit", "sarif", "markdown")}
    names["save-baseline"] = arguments.save_baseline
    return {f"--{option}": name for option, name in names.items() if name is not None}


def check_outputs(arguments: Namespace) -> None:
    """Check, before anything is judged, that all files can be written.

    :raises BadInputError: one cannot be written, or two have the same name
    """
    from ..inputs import probe_output

    seen: dict[str, str] = {}
    for option, name in outputs(arguments).items():
        if name in seen:
            raise BadInputError(f"{option} {name}: the file of {seen[name]}; give each a name of its own")
        seen[name] = option
        probe_output(option, name)


def write(outcome: "Gate", arguments: Namespace) -> list[str]:
    """Write the requested files; return a message for each that could not be written."""
    from ...files import write_atomically
    from ...gate.baseline import baseline_text
    from ...gate.junit import junit
    from ...gate.sarif import sarif
    from ...gate.summary import markdown
    from ..inputs import refused_file

    forms = {"--junit": junit, "--sarif": sarif, "--markdown": markdown, "--save-baseline": baseline_text}
    unwritten: list[str] = []
    for option, name in outputs(arguments).items():
        try:
            write_atomically(name, forms[option](outcome))
        except OSError as error:
            unwritten.append(str(refused_file(option, name, error)))
    return unwritten


COMMAND: Final = Command(
    "gate",
    "judge a fixed budget of programs, for a CI",
    _ABOUT,
    add_arguments,
    gate,
    (
        "s2fuzz gate --candidate ./my_patch.py --junit gate.xml --sarif gate.sarif",
        "s2fuzz gate --reference tree:../linux-base --candidate tree:../linux --baseline gate.json",
    ),
    CLASSES + _EXIT_CODES,
    "fuzz/gate/answer.py",
)
