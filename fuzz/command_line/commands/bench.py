# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz bench``: speed, planted bugs and mutants, the gain from workers, kernel trees compared with ports."""

from argparse import Namespace
from typing import Final

from ...exit_codes import FINE
from ..command import Command
from ..messages import BadInputError, dump, say_form
from ..parser import Parser
from ..values import programs, seconds, trials, workers

# Options that require --find.
OPTIONS: Final = ("full", "deepest", "seeds", "cap", "bug")
# Options that require --find or --mutants.
SHARED: Final = ("workers", "trials", "markdown")
_ABOUT: Final = """\
Judge a fixed mix of programs and report the rate, where the time goes, and
whether memory grows. With --find: measure how soon engines find planted bugs, each
compared with the version that the bug is planted in; two peers are included,
Hypothesis and atheris without any guidance of ours. With --trees: run the same
programs on a pair of kernel trees and on the ports, in turns. With --memory:
measure whether the memory of each engine grows. With --mutants: measure how many
small changes of the original are noticed.
"""
_EXIT_CODES: Final = """\
exit codes:
    0  measured
    2  bad usage or input; one line on stderr gives the place and a remedy
    3  a mistake of s2fuzz itself; S2FUZZ_DEBUG=1 shows the traceback
    4  a process cannot be started, or is killed from outside
  129, 130, 143  interrupted by SIGHUP, Ctrl-C, SIGTERM; with --find, the results so far are printed
  141  the reader closed the output
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of ``s2fuzz bench``."""
    parser.add_argument(
        "--programs", type=programs, metavar="N", help="the first N of the fixed mix (all 1200; with --trees, 300)"
    )
    find = "instead: measure how soon each engine finds planted bugs (`s2fuzz list --bugs`); a few minutes"
    parser.add_argument("--find", action="store_true", help=find)
    parser.add_argument("--full", action="store_true", help="all bugs, 60 s of CPU time per trial: takes hours")
    parser.add_argument("--deepest", type=trials, metavar="N", help="the N bugs that take longest, 60 s per trial")
    parser.add_argument("--seeds", type=trials, metavar="N", help="number of trials of each engine with each bug (5)")
    parser.add_argument("--cap", type=seconds, metavar="N", help="limit of a trial, in seconds of CPU time (5)")
    parser.add_argument("--workers", type=workers, metavar="N", help="number of concurrent trials (one per core)")
    parser.add_argument("--bug", action="append", metavar="NAME", help="only this bug; may be repeated")
    parser.add_argument("--engine", action="append", metavar="NAME", help="only this engine; may be repeated")
    kept = "store trials in this file; skip trials that it already has"
    parser.add_argument("--trials", metavar="FILE", help=kept)
    parser.add_argument("--markdown", metavar="FILE", help="write all trials of --trials as a page")
    scaling = "instead: compare a campaign's throughput with one worker and with one per core (4 min)"
    parser.add_argument("--campaign", action="store_true", help=scaling)
    trees = "instead: compare the speed of two kernel trees with that of two ports, with a profile"
    parser.add_argument("--trees", nargs=2, metavar=("REFERENCE", "CANDIDATE"), help=trees)
    memory = "instead: measure the memory of each engine while it runs for N seconds"
    parser.add_argument("--memory", type=seconds, metavar="N", help=memory)
    mutants = "instead: try the first N mutants of the original, in a fixed random order"
    parser.add_argument("--mutants", type=programs, metavar="N", help=mutants)
    most = "with --mutants: a mutant survives after N operations without a finding (100000)"
    parser.add_argument("--operations", type=programs, metavar="N", help=most)


def bench(arguments: Namespace) -> int:
    """Measure speed, or what the options request.

    :raises BadInputError: options that exclude each other, or a refusal of `fuzz.command_line.bench_find` or
      `bench_mutants`
    """
    for name in OPTIONS:
        if getattr(arguments, name) and not arguments.find:
            raise BadInputError(f"bench --{name} without --find; give both, or neither")
    for name in SHARED:
        if getattr(arguments, name) and not arguments.find and not arguments.mutants:
            raise BadInputError(f"bench --{name} without --find or --mutants; give both, or neither")
    if arguments.engine and not arguments.find and arguments.memory is None:
        raise BadInputError("bench --engine without --find or --memory; give both, or neither")
    if arguments.operations and not arguments.mutants:
        raise BadInputError("bench --operations without --mutants; give both, or neither")
    if arguments.mutants:
        others = arguments.find or arguments.programs or arguments.trees or arguments.campaign or arguments.memory
        if others:
            raise BadInputError("bench --mutants with --find, --programs, --trees, --campaign or --memory; give one")
        from ..bench_mutants import mutate

        return mutate(arguments)
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
    if arguments.find:
        from ..bench_find import find

        return find(arguments)
    return speed(arguments)


def of_the_mix(arguments: Namespace, default: int) -> int:
    """Return the number of programs of the fixed mix that ``--programs`` asks for.

    :raises BadInputError: more programs than the mix has
    """
    from ...benchmark.fixed import COUNT

    asked: int = arguments.programs or default
    if asked > COUNT:
        raise BadInputError(f"bench --programs {asked}: the fixed mix has {COUNT} programs; give that many or fewer")
    return asked


def speed(arguments: Namespace) -> int:
    """Run ``s2fuzz bench`` without options that change its subject.

    :raises BadInputError: more programs than the mix has
    """
    from ...benchmark import bench
    from ...reports.answers import head

    programs = of_the_mix(arguments, bench.PROGRAMS)
    say_form(arguments)
    result = bench.measure(programs)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(bench.text(result), end="")
    return FINE


def trees(arguments: Namespace) -> int:
    """Run ``s2fuzz bench --trees``.

    :raises BadInputError: no such version, or more programs than the mix has
    """
    import candidate

    from ...benchmark import pair
    from ...reports.answers import head

    reference, version = (candidate.get(name).name for name in arguments.trees)
    programs = of_the_mix(arguments, pair.PROGRAMS)
    say_form(arguments)
    result = pair.measure(reference, version, programs)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(pair.text(result), end="")
    return FINE


def memory(arguments: Namespace) -> int:
    """Run ``s2fuzz bench --memory``.

    :raises BadInputError: no such engine, or none of the requested engines can run here
    """
    from ...benchmark import growth
    from ...engines.registry import PUBLIC, engine_of
    from ...reports.answers import head
    from ..bench_find import chosen

    engines = chosen("engine", arguments.engine or PUBLIC, PUBLIC)
    if all(engine_of(name).missing() for name in engines):
        raise BadInputError(f"bench --engine {engine_of(engines[0]).missing()}")
    say_form(arguments)
    result = growth.measure(arguments.memory, engines)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(growth.text(result), end="")
    return FINE


def campaign(arguments: Namespace) -> int:
    """Run ``s2fuzz bench --campaign``.

    :raises BadInputError: a campaign cannot run here
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


COMMAND: Final = Command(
    "bench",
    "measure speed and memory",
    _ABOUT,
    add_arguments,
    bench,
    ("s2fuzz bench --find --bug bug-nested-put --seeds 3 --cap 60",),
    _EXIT_CODES,
)
