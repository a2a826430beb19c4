# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz bench --mutants``: the share of small changes of the original that s2fuzz notices."""

import os
import sys
from argparse import Namespace
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..distribution import how_to_install
from ..exit_codes import FINE, INTERRUPTED
from ..files import write_atomically
from .inputs import probe_output, refused_file
from .messages import BadInputError, dump, say_form

if TYPE_CHECKING:
    from ..mutation.trial import MutantTrial
    from ..mutation.trials_file import MutantTrials

# Operations after which a mutant counts as surviving.
OPERATIONS = 100_000
# Determines the order in which mutants are tried, and the random programs.
SEED = 1


def mutate(arguments: Namespace) -> int:
    """Try mutants, and print the score.

    :raises BadInputError: cosmic-ray is not installed; a file that cannot be used
    """
    from ..mutation import mutants, score, trial
    from ..reports.answers import head

    if find_spec("cosmic_ray") is None:
        raise BadInputError(f"bench --mutants needs the package cosmic-ray; {how_to_install('mutation')}")
    kept = trials_of(arguments)
    say_form(arguments)
    sample = mutants.ordered(mutants.mutants(), SEED)[: arguments.mutants]
    operations = arguments.operations or OPERATIONS
    left = sample if kept is None else kept.remaining(sample, operations)
    made: list[MutantTrial] = []
    interrupted = False
    try:
        for count, each in enumerate(
            trial.attempts(left, arguments.workers or os.cpu_count() or 1, operations, SEED), 1
        ):
            made.append(each)
            if kept is not None:
                kept.add(each)
            if not arguments.json:
                progress(each, len(left) - count)
    except KeyboardInterrupt:
        interrupted = True
    trials = made if kept is None else kept.of(sample)
    found = score.score(trials)
    if arguments.markdown:
        try:
            write_atomically(arguments.markdown, score.page(trials))
        except OSError as error:
            raise refused_file("--markdown", arguments.markdown, error) from None
    if arguments.json:
        dump({**head(), **asdict(found), "interrupted": interrupted})
    else:
        print(score.text(found), end="")
    return INTERRUPTED if interrupted else FINE


def trials_of(arguments: Namespace) -> "MutantTrials | None":
    """Open the file of trials; return None if none is to be kept.

    :raises BadInputError: the file cannot be used
    """
    from ..mutation.trials_file import MutantTrialsError, open_trials

    name = arguments.trials
    if arguments.markdown:
        probe_output("--markdown", arguments.markdown)
    if not name:
        return None
    probe_output("--trials", name)
    try:
        return open_trials(name)
    except OSError as error:
        raise refused_file("--trials", name, error) from None
    except MutantTrialsError as error:
        raise BadInputError(f"--trials {name}: {error}; name another file, or remove it") from None


def progress(trial: "MutantTrial", left: int) -> None:
    """Print one line on stderr for a mutant."""
    alive = f"alive after {trial.operations} operations"
    by = f" ({trial.by})" if trial.by else ""
    how = f"killed: {trial.killed}{by}" if trial.killed else alive
    print(f"{trial.function}: {trial.change}: {how}; {left} to go", file=sys.stderr, flush=True)
