# SPDX-License-Identifier: GPL-2.0-only
"""Writing of expectations into the regression tests. Imported by actions only."""

import argparse
from pathlib import Path

import candidate

from ..exit_codes import FINE
from ..files import write_atomically
from ..findings.replay import Replayer
from ..language.program import ProgramError
from ..language.text import load
from ..minimizing import promotion
from ..minimizing.expecting import PromotionError, expectations, reference_of, with_expectations
from ..reports import answers
from ..reports.report import plural
from .messages import BadInputError, dump


def command(arguments: argparse.Namespace) -> int:
    """Run ``s2fuzz expect``.

    :raises BadInputError: a name is not that of a registered version; a regression cannot be read, judged or written
    :raises candidate.UnknownCandidateError: one of the names is no version
    """
    versions = [candidate.get(name).name for name in arguments.name]
    files = [name for name in versions if candidate.is_file(name)]
    names = [name for name in versions if name not in files]
    for name in names:
        if name not in candidate.names():
            raise BadInputError(f"{name} is a planted bug, which regression tests do not cover; name a version")
    programs = sorted(promotion.regressions_folder().glob("*.s2"))
    if not programs:
        raise BadInputError(
            f"{promotion.regressions_folder()}: no regression test; run this in an installation from a checkout"
        )
    changed = write(programs, names, quiet=arguments.json) if names else {}
    if arguments.json:
        told = {name: [str(path) for path in paths] for name, paths in changed.items()}
        dump({**answers.head(), "programs": len(programs), "changed": told, "skipped": files})
        return FINE
    for name, paths in changed.items():
        print(f"{name}: {plural(len(programs), 'regression test')}, {len(paths)} changed")
    if files:
        print(f"{plural(len(files), 'file')} from outside skipped: {', '.join(files)}")
    return FINE


def write(programs: list[Path], names: list[str], quiet: bool) -> dict[str, list[Path]]:
    """Write the lines of some versions into all regression tests, and print what changes unless *quiet*.

    :returns: version -> the files that changed
    :raises BadInputError: a test cannot be read, judged or written
    """
    changed: dict[str, list[Path]] = {name: [] for name in names}
    with Replayer() as replayer:
        for path in programs:
            try:
                program = load(path)
                text = path.read_text(encoding="utf-8")
                for name in names:
                    expected = expectations(program, replayer, reference_of(text), [name])
                    after = with_expectations(text, name, expected)
                    if after != text:
                        write_atomically(path, after)
                        text = after
                        changed[name].append(path)
                        if not quiet:
                            print(f"{path.name}: " + "; ".join(line.removeprefix("# expect ") for line in expected))
            except ProgramError as error:
                raise BadInputError(str(error)) from None
            except PromotionError as error:
                raise BadInputError(f"{path}: {error}") from None
            except OSError as error:
                raise BadInputError(f"{path}: {error.strerror or error}; make the folder writable") from None
    return changed
