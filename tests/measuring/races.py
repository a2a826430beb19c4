# SPDX-License-Identifier: GPL-2.0-only
"""Measure how soon engines find planted races, and how small the programs become: a table.

``S2FUZZ_TREES=... .venv/bin/python -m tests.measuring.races``. Trials run one after the other, each in a process of its
own. All begin with a program that does nothing. Each trial is a line of a file, so an interrupted measurement can be
continued.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import candidate
from candidate.tree.opening import build_ahead
from fuzz.benchmark.effort import NOTHING
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Result, Unit
from fuzz.findings.record import FindingRecord
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.judging.finding import Finding
from fuzz.language.program import KIB
from fuzz.language.text import parse, print_program
from fuzz.minimizing.minimize import NotShownError, minimized
from fuzz.minimizing.minimizer import judge_here

from ..tree.trees import real_trees, version
from .planted_races import IN_PORTS, IN_TREES, PORT, TREE, PlantedRace, in_port, in_tree
from .races_found import size

ENGINES: Final = ("random", "atheris")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class RaceTrial:
    """One engine with one mistake and one seed.

    :param seconds: time until a regression was seen, or until the end; *cpu*: CPU time of all processes until then
    :param programs: number of programs judged by then
    :param signature: signature of the regression; "": there was none
    :param operations: number of operations of its minimised program, those of blocks one by one; -1: it was not
        minimised
    :param switches: number of its switches, likewise
    """

    where: str
    mistake: str
    engine: str
    seed: int
    seconds: float
    cpu: float
    programs: int
    signature: str = ""
    operations: int = -1
    switches: int = -1
    program: str = ""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its descendants, in seconds."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    fields = said[said.rindex(")") :].split()
    return sum(map(int, fields[12:16])) / _TICKS + sum(cpu_seconds(int(child)) for child in children)


def first_of(race: PlantedRace, result: Result) -> FindingRecord | None:
    """Return the first finding that shows the mistake."""
    return next((each for each in result.messages if race.shown_by(each.finding)), None)


def attempt(
    race: PlantedRace, pair: tuple[str, str], names: tuple[str, str], engine: str, seed: int, cap: float, shrink: int
) -> RaceTrial:
    """Run one trial.

    :param pair: the versions
    :param names: place and name of the mistake
    :param cap: seconds of CPU time that the engine may use, so that other load on the machine does not count
    :param shrink: number of programs that may be judged to minimise the program
    """
    used = [cpu_seconds(os.getpid()), 0.0, 0.0]
    start = time.monotonic()

    def watch(result: Result) -> None:
        used[1:] = cpu_seconds(os.getpid()) - used[0], time.monotonic() - start
        if first_of(race, result) is not None or used[1] >= cap:
            raise KeyboardInterrupt

    result = run_unit(Unit(engine, *pair, seed, corpus=(NOTHING,)), watch)
    found = first_of(race, result)
    judged = result.state.programs if found is None else found.number
    taken = (*names, engine, seed, round(used[2], 1), round(used[1], 1), judged)
    if found is None:
        return RaceTrial(*taken)
    program = parse(found.text)
    shown = RaceTrial(*taken, found.finding.signature, program=found.text)
    if not shrink:
        return shown
    judge = judge_here(*map(candidate.get, pair))
    try:
        small = minimized(program, found.finding.key, judge, None, shrink).program
    except NotShownError:
        return shown
    return RaceTrial(*taken, found.finding.signature, *size(small), print_program(small))


def attempt_here(
    race: PlantedRace, pair: tuple[str, str], names: tuple[str, str], seed: int, cap: float, shrink: int
) -> RaceTrial:
    """Run one trial of the random engine in this process, with pages of 4K only; parameters as for `attempt`."""
    versions = candidate.get(pair[0]), candidate.get(pair[1])
    differential = Differential(*versions)
    generator = Generator(seed, 4 * KIB, Offers(par=True, grace=True))
    start, before, used, number = time.monotonic(), cpu_seconds(os.getpid()), 0.0, 0
    found: Finding | None = None
    program = parse(NOTHING)
    while found is None and used < cap:
        program = generator.next()
        number += 1
        found = next((each for each in differential.run(program).findings if race.shown_by(each)), None)
        used = cpu_seconds(os.getpid()) - before
    taken = (*names, "random", seed, round(time.monotonic() - start, 1), round(used, 1), number)
    if found is None:
        return RaceTrial(*taken)
    small = minimized(program, found.key, judge_here(*versions), None, shrink).program if shrink else program
    return RaceTrial(*taken, found.signature, *size(small), print_program(small))


def medians(values: Iterable[float]) -> str:
    """Return the median as text."""
    there = list(values)
    return f"{statistics.median(there):g}" if there else "-"


def table(trials: list[RaceTrial]) -> str:
    """Return all trials as a Markdown table."""
    groups: dict[tuple[str, str, str], list[RaceTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.where, trial.mistake, trial.engine), []).append(trial)
    lines = ["| where | mistake | engine | found | seconds | CPU seconds | programs | operations | switches |"]
    lines.append("|---" * 9 + "|")
    for names, group in groups.items():
        found = [trial for trial in group if trial.signature]
        shrunk = [trial for trial in found if trial.operations >= 0]
        cells = [
            *names,
            f"{len(found)}/{len(group)}",
            *(medians(getattr(trial, what) for trial in found) for what in ("seconds", "cpu", "programs")),
            *(medians(getattr(trial, what) for trial in shrunk) for what in ("operations", "switches")),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.measuring.races", description=__doc__.splitlines()[0])
    parser.add_argument("--engine", action="append", choices=ENGINES, help="both by default")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to this one (%(default)s)")
    parser.add_argument("--cap", type=float, default=60.0, help="CPU seconds of a trial (%(default)s)")
    parser.add_argument("--shrink", type=int, default=300, help="programs judged to shrink one (%(default)s)")
    parser.add_argument("--only", default="", help="mistakes with this text in `where: name`")
    parser.add_argument("--out", type=Path, default=Path("races.jsonl"), help="the file of trials (%(default)s)")
    here = "the random engine alone, in this process, with pages of 4K: a tree takes one build in place of three"
    parser.add_argument("--here", action="store_true", help=here)
    parser.add_argument("--table", action="store_true", help="show the trials that are there, and make none")
    chosen = parser.parse_args()
    there = chosen.out.read_text().splitlines() if chosen.out.exists() else []
    trials = [RaceTrial(**json.loads(line)) for line in there]
    done = {(trial.where, trial.mistake, trial.engine, trial.seed) for trial in trials}
    races = [
        (where, name, race) for where, found in (("port", IN_PORTS), (TREE, IN_TREES)) for name, race in found.items()
    ]
    for where, name, race in () if chosen.table else races:
        if chosen.only not in f"{where}: {name}":
            continue
        if where == TREE and TREE not in real_trees():
            print(f"left out, since S2FUZZ_TREES names no folder with a tree {TREE}: {name}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            port = where == "port"
            pair = (PORT, in_port(race, Path(folder))) if port else (version(), in_tree(race, Path(folder)))
            if not chosen.here:
                build_ahead(pair, lambda line: print(line, flush=True))
            for engine in ENGINES[:1] if chosen.here else chosen.engine or ENGINES:
                for seed in range(1, chosen.seeds + 1):
                    if (where, name, engine, seed) in done:
                        continue
                    if chosen.here:
                        trial = attempt_here(race, pair, (where, name), seed, chosen.cap, chosen.shrink)
                    else:
                        trial = attempt(race, pair, (where, name), engine, seed, chosen.cap, chosen.shrink)
                    trials.append(trial)
                    print(*list(asdict(trial).values())[:-1], flush=True)
                    with chosen.out.open("a") as file:
                        file.write(json.dumps(asdict(trial)) + "\n")
    print(table(trials))


if __name__ == "__main__":
    main()
