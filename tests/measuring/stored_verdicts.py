# SPDX-License-Identifier: GPL-2.0-only
"""Stored programs and digests of their verdicts, to check that a change affects no verdict.

``python -m tests.measuring.stored_verdicts write FILE PROGRAMS`` generates programs and judges them; ``compare FILE``
judges the stored programs, and lists those whose findings, consequences, features, notes or costs have changed. The
programs are stored in their binary form, so that a change of the generator has no effect. For versions other than the
original and RFC v1, put ``--versions REFERENCE CANDIDATE`` first.
"""

import argparse
import base64
import gzip
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Final

import candidate
from fuzz.benchmark.mix import CANDIDATE, REFERENCE
from fuzz.checkers import Violation
from fuzz.generation.generator import Generator
from fuzz.judging.collection import collect_rarely
from fuzz.judging.differential import Differential
from fuzz.judging.verdict import Verdict
from fuzz.language.binary import decode, encode

SEED: Final = 1
PARTS: Final = ("findings", "consequences", "features", "notes", "costs")


def of_violation(violation: Violation) -> tuple[object, ...]:
    """Return all fields of a violation."""
    return (
        violation.signature,
        violation.reason,
        violation.pages.ranges,
        violation.taints,
        violation.grave,
        violation.table,
        violation.at,
        violation.known,
        violation.version,
        [each.signature for each in violation.after],
    )


def digests(verdict: Verdict) -> list[str]:
    """Return a digest of each of `PARTS` of a verdict."""
    costs = verdict.costs
    parts: tuple[object, ...] = (
        [verdict.refused, *[astuple(finding) for finding in verdict.findings]],
        [(side, of_violation(violation)) for side, violation in verdict.consequences],
        verdict.features,
        verdict.notes,
        None if costs is None else astuple(costs),
    )
    return [hashlib.sha256(repr(part).encode()).hexdigest()[:16] for part in parts]


class Judged:
    """Judges programs on two versions, with features and costs.

    :param versions: the names of the reference and of the candidate
    """

    def __init__(self, versions: list[str]) -> None:
        reference, version = [candidate.get(name) for name in versions]
        self.differential = Differential(reference, version, measure=True, features=True)

    def line(self, data: bytes) -> str:
        """Return the stored form of a program and its verdict."""
        return " ".join([base64.b64encode(data).decode(), *digests(self.differential.run(decode(data)))])


def write(path: Path, programs: int, judged: Judged) -> None:
    """Store this many programs of `SEED` and their verdicts."""
    generator = Generator(SEED)
    with gzip.open(path, "wt", compresslevel=1) as file:
        for _ in range(programs):
            print(judged.line(encode(generator.next())), file=file)


def compare(path: Path, judged: Judged) -> Iterator[str]:
    """Yield a line for each program whose verdict differs from the stored one."""
    with gzip.open(path, "rt") as file:
        for number, stored in enumerate(file):
            program, *before = stored.split()
            _, *now = judged.line(base64.b64decode(program)).split()
            changed = [part for part, old, new in zip(PARTS, before, now, strict=True) if old != new]
            if changed:
                yield f"program {number}: not the stored {', '.join(changed)}"


def main() -> int:
    """Run the command.

    :returns: 1 if a verdict has changed
    """
    parser = argparse.ArgumentParser(prog="tests.measuring.stored_verdicts")
    parser.add_argument("--versions", nargs=2, default=[REFERENCE, CANDIDATE])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("write", "compare"):
        commands.add_parser(name).add_argument("file", type=Path)
    commands.choices["write"].add_argument("programs", type=int)
    args = parser.parse_args()
    judged = Judged(args.versions)
    collect_rarely()
    if args.command == "write":
        write(args.file, args.programs, judged)
        return 0
    changed = 0
    for line in compare(args.file, judged):
        changed += 1
        print(line)
    print(f"{changed} verdicts changed")
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main())
