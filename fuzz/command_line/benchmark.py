# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz bench``: speed; ``--find``: how soon engines find planted bugs; ``--campaign``: what workers bring."""

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from candidate.bugs import BUGS

from ..benchmark import bench, finding, scaling
from ..engines.drivers import missing
from ..engines.peers import PEERS
from ..engines.supervisor import EngineError
from ..exit_codes import FINE, INTERRUPTED, OUR_MISTAKE
from ..reports.answers import head
from ..reports.report import plural
from ..suggestions import did_you_mean
from . import arguments as allowed
from .commands import BadInputError, complain, dump, say_form

# What means nothing without --find.
OPTIONS: Final = ("full", "seeds", "cap", "workers", "bug", "engine")


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz bench``

    :raises BadInputError: options that do not go together, or what `find` refuses
    """
    for name in OPTIONS:
        if getattr(arguments, name) and not arguments.find:
            raise BadInputError(f"bench --{name} without --find; allowed: both, or neither")
    if arguments.find and arguments.programs is not None:
        raise BadInputError("bench --programs with --find; allowed: one of them")
    if arguments.campaign:
        if arguments.find or arguments.programs is not None:
            raise BadInputError("bench --campaign with --find or --programs; allowed: one of them")
        return campaign(arguments)
    return find(arguments) if arguments.find else speed(arguments)


def speed(arguments: argparse.Namespace) -> int:
    """``s2fuzz bench`` as it is."""
    say_form(arguments)
    result = bench.measure(arguments.programs or bench.PROGRAMS)
    if arguments.json:
        dump({**head(), **result})
    else:
        print(bench.text(result), end="")
    return FINE


def campaign(arguments: argparse.Namespace) -> int:
    """``s2fuzz bench --campaign``

    :raises BadInputError: no campaign can be run here
    """
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


def find(arguments: argparse.Namespace) -> int:
    """``s2fuzz bench --find``

    :raises BadInputError: no bug, or no engine, of this name
    """
    by_name = {bug.name: bug for bug in BUGS}
    there = (*allowed.ENGINES, *PEERS)
    wanted = arguments.bug or (by_name if arguments.full else finding.SHALLOW)
    bugs = [by_name[name] for name in chosen("bug", wanted, tuple(by_name))]
    engines = chosen("engine", arguments.engine or there, there)
    lacking = [missing(engine) for engine in engines]
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


def progress(trial: finding.Trial, left: int) -> None:
    """One line on stderr for each trial."""
    how = "found" if trial.found else "not found"
    after = f"after {plural(trial.programs, 'program')}, {trial.seconds:.1f} s"
    print(f"{trial.bug}, {trial.engine}, seed {trial.seed}: {how} {after}; {left} to go", file=sys.stderr, flush=True)
