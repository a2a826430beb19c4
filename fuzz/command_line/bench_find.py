# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz bench --find``: how soon engines find planted bugs."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..engines.registry import PEERS, PUBLIC, engine_of
from ..exit_codes import FINE, INTERRUPTED, OUR_MISTAKE
from ..files import write_atomically
from ..suggestions import did_you_mean
from .inputs import probe_output, refused_file
from .messages import BadInputError, complain, dump, say_form

if TYPE_CHECKING:
    from ..benchmark.bank import TrialsFile
    from ..benchmark.effort import BenchmarkTrial, Task


def find(arguments: Namespace) -> int:
    """Measure, and print the results.

    :raises BadInputError: an unknown bug or engine; a file that cannot be used; options that exclude each other
    """
    from ..benchmark import effort, ranking
    from ..engines.supervisor import EngineError
    from ..reports.answers import head

    missing, todo = asked(arguments)
    kept = trials_file(arguments)
    left = todo if kept is None else kept.remaining(todo)
    say_form(arguments)

    def note(trial: "BenchmarkTrial", count: int) -> None:
        if kept is not None:
            kept.add(trial)
        if not arguments.json:
            progress(trial, count)

    workers = arguments.workers or os.cpu_count() or 1
    try:
        made, interrupted = effort.measure(left, workers, note)
    except EngineError as error:
        complain(str(error))
        return OUR_MISTAKE
    keys = {(task.bug.name, task.engine, task.seed) for task in todo}
    shown = made if kept is None else [trial for trial in kept.all() if trial.key in keys]
    if kept is not None:
        finish(arguments, kept)
    found = ranking.evaluated(shown, workers, missing, interrupted)
    if arguments.json:
        dump({**head(), **asdict(found)})
    else:
        print(ranking.text(found), end="")
    return INTERRUPTED if interrupted else FINE


def asked(arguments: Namespace) -> tuple[list[str], "list[Task]"]:
    """Return the engines that are left out, and the requested trials.

    :raises BadInputError: an unknown bug or engine; no engine can run
    """
    from candidate.bugs import BUGS

    from ..benchmark import effort

    by_name = {bug.name: bug for bug in BUGS}
    if sum(map(bool, (arguments.full, arguments.deepest, arguments.bug))) > 1:
        raise BadInputError("bench --full, --deepest and --bug together; give one of them")
    wanted = arguments.bug or effort.SHALLOW
    if arguments.full or arguments.deepest:
        wanted = [*by_name][-arguments.deepest :] if arguments.deepest else [*by_name]
    bugs = [by_name[name] for name in chosen("bug", wanted, tuple(by_name))]
    there = (*PUBLIC, *PEERS)
    engines = chosen("engine", arguments.engine or there, there)
    missing = effort.missing_engines(engines)
    if len(missing) == len(engines):
        raise BadInputError(f"bench --engine {engine_of(engines[0]).missing()}")
    cap = arguments.cap or (effort.LONG_CAP if arguments.full or arguments.deepest else effort.CAP)
    runnable = [engine for engine in engines if engine not in missing]
    return missing, effort.tasks(bugs, runnable, arguments.seeds or effort.SEEDS, cap)


def trials_file(arguments: Namespace) -> "TrialsFile | None":
    """Open the file of trials; return None if none is to be kept.

    :raises BadInputError: the file cannot be used
    """
    from ..benchmark.bank import TrialsError, TrialsFile

    name = arguments.trials
    if not name:
        if arguments.markdown:
            raise BadInputError("bench --markdown without --trials; give both, or neither")
        return None
    try:
        probe_output("--trials", name)
        if arguments.markdown:
            probe_output("--markdown", arguments.markdown)
        return TrialsFile(name)
    except OSError as error:
        raise refused_file("--trials", name, error) from None
    except TrialsError as error:
        raise BadInputError(f"--trials {name}: {error}; name another file, or remove it") from None


def finish(arguments: Namespace, kept: "TrialsFile") -> None:
    """Write the page, and report the number of trials made with other code.

    :raises BadInputError: the page cannot be written
    """
    from ..benchmark.bank import page

    if arguments.markdown:
        try:
            write_atomically(arguments.markdown, page(kept.all()))
        except OSError as error:
            raise refused_file("--markdown", arguments.markdown, error) from None
    outdated = kept.outdated()
    if outdated:
        complain(f"{len(outdated)} trials of {kept.path} were made with other code; remove the file to repeat all")


def chosen(what: str, wanted: Iterable[str], there: tuple[str, ...]) -> list[str]:
    """Return the given names, each once, in their usual order.

    :raises BadInputError: a name is unknown
    """
    names = set(wanted)
    for name in sorted(names):
        if name not in there:
            raise BadInputError(
                f"bench --{what} {name}: no such {what}{did_you_mean(name, there)}; allowed: {', '.join(there)}"
            )
    return [name for name in there if name in names]


def progress(trial: "BenchmarkTrial", left: int) -> None:
    """Print one line on stderr for a trial."""
    from ..reports.report import plural

    how = "found" if trial.found else "not found"
    after = f"after {plural(trial.programs, 'program')}, {trial.cpu_seconds:.1f} s of CPU time"
    print(f"{trial.bug}, {trial.engine}, seed {trial.seed}: {how} {after}; {left} to go", file=sys.stderr, flush=True)
