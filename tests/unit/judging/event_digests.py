# SPDX-License-Identifier: GPL-2.0-only
"""Hashes over everything that programs do on the candidates."""

import hashlib

import candidate
from fuzz.execution.executor import Executor
from fuzz.generation.generator import Generator
from fuzz.language.program import Program
from reference.events import EVENT_NAMES, Observer


class Digest(Observer):
    """A hash over all events and their arguments."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()


def _add(name: str):  # type: ignore[no-untyped-def]
    def record(self: Digest, *args: object) -> None:
        self.hash.update(f"{name}{args}\n".encode())

    return record


for _name in EVENT_NAMES:
    setattr(Digest, _name, _add(_name))


def digest(program: Program, name: str) -> str:
    """Return a hash over all events, results and violations of one run."""
    executor = Executor(candidate.get(name), program)
    events = Digest()
    executor.side.kernel.observe(events)
    said = [executor.create()]
    for at in range(len(program.operations)):
        outcome, violations = executor.step(at)
        events.hash.update(str(outcome).encode())
        said.append(violations)
    said.append(executor.destroy())
    for violations in said:
        for violation in violations:
            events.hash.update(f"{violation.signature} {violation.reason} {sorted(violation.pages)}".encode())
    return events.hash.hexdigest()


def digests(programs: int) -> str:
    """Return one hash over the first programs of a seed on every candidate."""
    generator = Generator(20)
    whole = hashlib.sha256()
    for _ in range(programs):
        program = generator.next()
        for name in candidate.names():
            whole.update(digest(program, name).encode())
    return whole.hexdigest()
