# SPDX-License-Identifier: GPL-2.0-only
"""The incremental checkers and the full scan agree after every operation."""

import pytest

import candidate
from fuzz.checkers import Violation
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator

PROGRAMS = 60


def key(violation: Violation) -> tuple[str, str]:
    """Return the key by which a scan and an incremental check are compared: checker and event description."""
    return violation.checker, violation.what


# Violations during an operation, which a scan of the tables afterwards cannot detect.
DYNAMIC = ("still ", "change outside", "reserved encoding")


def of_the_state(violation: Violation) -> bool:
    """Return whether a scan must report a violation too."""
    return violation.checker in ("refcount", "translation") and not violation.what.startswith(DYNAMIC)


def reported_before(violation: Violation, places: set[tuple[str, int]]) -> bool:
    """Return whether the checker of a violation has reported all of its places before."""
    return bool(violation.pages) and all((violation.checker, place) in places for place in violation.pages)


def disagreements(name: str, seed: int, programs: int) -> list[str]:
    """Return violations that only one of the two reports: new ones of a scan, and those that a scan misses."""
    found: list[str] = []
    generator = Generator(seed)
    for _ in range(programs):
        program = generator.next()
        executor = Executor(candidate.get(name), program)
        told = {key(violation) for violation in executor.create()}
        # Leaves that a checker has reported: they may break other rules later.
        places: set[tuple[str, int]] = set()
        for at in range(len(program.operations)):
            if executor.dead:
                break
            _, violations = executor.step(at)
            told |= {key(violation) for violation in violations}
            places |= {(each.checker, place) for each in violations for place in each.pages}
            executor.checkers.scan()
            scanned = executor.checkers.take(at)
            seen = {key(violation) for violation in scanned}
            only_scan = [each for each in scanned if key(each) not in told and not reported_before(each, places)]
            only_checkers = [each for each in violations if of_the_state(each) and key(each) not in seen]
            where = f"program {generator.number}, operation {at}"
            found += [f"{where}: {each.signature}: {each.reason}" for each in only_scan + only_checkers]
    return found


@pytest.mark.parametrize("name", ["original", "rfc-v1", "v5.14"])
def test_agree(name: str) -> None:
    assert disagreements(name, 3, PROGRAMS) == []
