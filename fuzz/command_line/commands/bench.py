# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz bench``: speed, how soon engines find planted bugs, what workers bring, kernel trees beside ports."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from ...engines.registry import PEERS, PUBLIC, engine_of
from ...exit_codes import FINE, INTERRUPTED, OUR_MISTAKE
from ...suggestions import did_you_mean
from ..command import Command
from ..messages import BadInputError, complain, dump, say_form
from ..parser import Parser
from ..values import programs, seconds, trials

if TYPE_CHECKING:
    from ...benchmark.finding import BenchmarkTrial

# Options that mean nothing without --find.
OPTIONS: Final = ("full", "seeds", "cap", "workers", "bug", "engine")
_ABOUT: Final = """\
Judge a fixed mix of programs: how many a second, where the time goes, whether
memory grows. With --find: how soon engines find planted bugs, each against the
version that the bug is planted in, with two peers: Hypothesis and atheris
without any guidance of ours. With --trees: a pair of kernel trees beside the
ports, on the same programs, in turns. With --memory: whether the memory of each
engine grows.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  measured
    2  bad usage or input; one line on stderr says where, and what is allowed
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  a process cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; with --find, what was found by then is printed
  141  whoever read the output has closed it
"""


def add_arguments(parser: Parser) -> None:
    parser.add_argument("--programs", type=programs, metavar="N", help="how many (as many as take about 15 s)")
    find = "instead: how soon each engine finds planted bugs (`s2fuzz list --bugs`); a few minutes"
    parser.add_argument("--find", action="store_true", help=find)
    parser.add_argument("--full", action="store_true", help="all bugs, 300 s each time: takes hours")
    parser.add_argument("--seeds", type=trials, metavar="N", help="so many trials of each engine with each bug (5)")
    parser.add_argument("--cap", type=seconds, metavar="N", help="seconds that a trial may take (5)")
    parser.add_argument("--workers", type=trials, metavar="N", help="trials at a time (one for each core)")
    parser.add_argument("--bug", action="append", metavar="NAME", help="only this one; may be given again")
    parser.add_argument("--engine", action="append", metavar="NAME", help="only this one; may be given again")
    scaling = "instead: what a campaign judges with one worker and with one for each core (4 min)"
    parser.add_argument("--campaign", action="store_true", help=scaling)
    trees = "instead: what two kernel trees judge a second beside two ports, and where the time goes"
    parser.add_argument("--trees", nargs=2, metavar=("REFERENCE", "CANDIDATE"), help=trees)
    memory = "instead: the memory of each engine while it runs, for so many seconds"
    parser.add_argument("--memory", type=seconds, metavar="N", help=memory)


def bench(arguments: Namespace) -> int:
    """Measure speed, or what the options ask for.

    :raises BadInputError: options that do not go together, or what `find` refuses
    """
    for name in OPTIONS:
        if getattr(arguments, name) and not arguments.find:
            raise BadInputError(f"bench --{name} without --find; give both, or neither")
    if arguments.find and arguments.programs is not None:
        raise BadInputError("bench --programs with --find; give one of them")
    if arguments.memory is not None:
        if arguments.find or arguments.programs is not None or arguments.trees or arguments.campaign:
            raise BadInputError("bench --memory with --find, --programs, --trees or --campaign; give one of them")
        return memory(arguments)
    if arguments.campaign:
        if arguments.find or arguments.programs is not None or arguments.trees:
            raise BadInputError("bench --campaign with --find, --programs or --trees; give one of them")
        return campaign(arguments)
    if arguments.trees:
        if arguments.find:
            raise BadInputError("bench --trees with --find; give one of them")
        return trees(arguments)
    return find(arguments) if arguments.find else speed(arguments)


def speed(arguments: Namespace) -> int:
    """``s2fuzz bench`` as it is."""
    from ...benchmark import bench
    from ...reports.answers import head

    say_form(arguments)
    result = bench.measure(arguments.programs or bench.PROGRAMS)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(bench.text(result), end="")
    return FINE


def trees(arguments: Namespace) -> int:
    """``s2fuzz bench --trees``

    :raises BadInputError: no such version
    """
    import candidate

    from ...benchmark import pair
    from ...reports.answers import head

    reference, version = (candidate.get(name).name for name in arguments.trees)
    say_form(arguments)
    result = pair.measure(reference, version, arguments.programs or pair.PROGRAMS)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(pair.text(result), end="")
    return FINE


def memory(arguments: Namespace) -> int:
    """``s2fuzz bench --memory``"""
    from ...benchmark import growth
    from ...reports.answers import head

    say_form(arguments)
    result = growth.measure(arguments.memory)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(growth.text(result), end="")
    return FINE


def campaign(arguments: Namespace) -> int:
    """``s2fuzz bench --campaign``

    :raises BadInputError: no campaign can be run here
    """
    from ...benchmark import scaling
    from ...reports.answers import head

    say_form(arguments)
    try:
        result = scaling.measure()
    except scaling.ScalingError as error:
        raise BadInputError(str(error)) from None
    if arguments.json:
        dump({**head(), **result})
    else:
        print(scaling.text(result), end="")
    return FINE


def find(arguments: Namespace) -> int:
    """``s2fuzz bench --find``

    :raises BadInputError: no bug, or no engine, of this name
    """
    from candidate.bugs import BUGS

    from ...benchmark import finding
    from ...engines.supervisor import EngineError
    from ...reports.answers import head

    by_name = {bug.name: bug for bug in BUGS}
    there = (*PUBLIC, *PEERS)
    wanted = arguments.bug or (by_name if arguments.full else finding.SHALLOW)
    bugs = [by_name[name] for name in chosen("bug", wanted, tuple(by_name))]
    engines = chosen("engine", arguments.engine or there, there)
    lacking = [engine_of(engine).missing() for engine in engines]
    if all(lacking):
        raise BadInputError(f"bench --engine {lacking[0]}")
    seeds = arguments.seeds or finding.SEEDS
    cap = arguments.cap or (finding.FULL_CAP if arguments.full else finding.CAP)
    workers = arguments.workers or os.cpu_count() or 1
    say_form(arguments)
    try:
        found = finding.measure(bugs, engines, seeds, cap, workers, None if arguments.json else progress)
    except EngineError as error:
        complain(str(error))
        return OUR_MISTAKE
    if arguments.json:
        dump({**head(), **asdict(found)})
    else:
        print(finding.text(found), end="")
    return INTERRUPTED if found.interrupted else FINE


def chosen(what: str, wanted: Iterable[str], there: tuple[str, ...]) -> list[str]:
    """The names that were given, each once, in their usual order.

    :raises BadInputError: one is none
    """
    names = set(wanted)
    for name in sorted(names):
        if name not in there:
            raise BadInputError(
                f"bench --{what} {name}: no such {what}{did_you_mean(name, there)}; allowed: {', '.join(there)}"
            )
    return [name for name in there if name in names]


def progress(trial: "BenchmarkTrial", left: int) -> None:
    """One line on stderr for each trial."""
    from ...reports.report import plural

    how = "found" if trial.found else "not found"
    after = f"after {plural(trial.programs, 'program')}, {trial.seconds:.1f} s"
    print(f"{trial.bug}, {trial.engine}, seed {trial.seed}: {how} {after}; {left} to go", file=sys.stderr, flush=True)


COMMAND: Final = Command(
    "bench",
    "measure speed and memory",
    _ABOUT,
    add_arguments,
    bench,
    ("s2fuzz bench --find --bug bug-nested-put --seeds 3 --cap 60",),
    _EXIT_CODES,
)
