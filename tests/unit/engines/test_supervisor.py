# SPDX-License-Identifier: GPL-2.0-only
"""Engines as child processes: the same results however a child dies, and no process left behind."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.engines.flight import SIZE, SharedFlight, make
from fuzz.engines.supervisor import EngineError, remaining, run_unit
from fuzz.engines.unit import Fresh, Message, Result, Unit, UnitState, from_line, to_line
from fuzz.findings.found import CRASH
from fuzz.findings.record import FindingRecord
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.language.operations import GuestAccess, Par, Switch
from fuzz.language.program import MIB, Program, Slot, Vm
from fuzz.language.text import print_program

from ..console import ROOT
from ..processes import wait_for
from .units import UNIT, children, comparable, here


@pytest.fixture(scope="module")
def undisturbed() -> Result:
    return here(UNIT)


def test_a_child_has_the_same_results_as_this_process(undisturbed: Result) -> None:
    before = children()
    assert comparable(run_unit(UNIT)) == comparable(undisturbed)
    assert children() == before


def test_windows_of_a_seed_add_up_to_the_whole(undisturbed: Result) -> None:
    first, second = here(replace(UNIT, programs=10)), here(replace(UNIT, programs=15, first=11))
    assert second.state.after(first.state).counts == undisturbed.state.counts
    assert {**second.found, **first.found}.keys() == undisturbed.found.keys()


def test_a_killed_child_loses_no_program() -> None:
    """Kill three children in sequence from outside: every program is judged, and none is blamed."""
    killed: list[int] = []
    last = 0

    def kill(result: Result) -> None:
        nonlocal last
        programs = result.state.programs
        if programs < last + 5:
            return
        if len(killed) == 3:
            raise KeyboardInterrupt
        # Messages of a killed child may still arrive.
        for child in set(children()) - before - set(killed):
            os.kill(child, signal.SIGKILL)
            killed.append(child)
            last = programs

    before = set(children())
    # The unit has no end of its own; otherwise a child could finish before this process sees it.
    result = run_unit(replace(UNIT, programs=None), kill)
    assert len(result.accidents) == 3
    assert all("SIGKILL" in line for line in result.accidents)
    assert not any(found.kind == CRASH for found in result.found.values())
    expected = here(replace(UNIT, programs=result.state.programs))
    # Findings are sent at once, counts only at times: a killed child has judged more programs than it has counted.
    assert expected.found.keys() <= result.found.keys()
    assert set(children()) == before


@pytest.mark.parametrize(
    ("body", "signature", "accidents"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "process was killed by SIGSEGV", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", "process was killed by SIGKILL", 2),
        ("time.sleep(1000)", "process made no progress", 1),
        ("os._exit(7)", "process ended with exit code 7", 1),
    ],
)
def test_a_program_that_ends_the_process_is_a_finding(
    tmp_path: Path, body: str, signature: str, accidents: int
) -> None:
    """Check that the second death counts as a finding, and that the rest of the unit is done."""
    preload = f"""
import os, signal, sys, time
if "fuzz.engines.engine_process" in " ".join(sys.orig_argv):
    from fuzz.judging.differential import Differential
    good = Differential.run
    def run(self, program):
        if len(program.operations) == {len(victim().operations)} and program == program_of_test:
            {body}
        return good(self, program)
    from fuzz.language.text import parse
    program_of_test = parse({print_program(victim())!r})
    Differential.run = run
"""
    (tmp_path / "sitecustomize.py").write_text(preload)
    script = """
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Unit
result = run_unit(Unit("random", "original", "rfc-v1", 1, programs=8), patience=3.0)
for found in result.found.values():
    if found.kind == "crash":
        print(found.signature, found.number, found.text, sep="\\n")
print(result.state.programs, len(result.accidents))
"""
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "S2FUZZ_PURE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=False, cwd=tmp_path
    )
    assert result.stderr == ""
    assert result.stdout.startswith(f"{signature}\n3\n{print_program(victim())}")
    last = result.stdout.splitlines()[-1]
    assert int(last.split()[1]) == accidents


def victim() -> Program:
    """Return the third program of seed 1 as sessions make it, with blocks."""
    generator = Generator(1, offers=Offers(par=True))
    return [generator.next() for _ in range(3)][2]


def test_the_rest_of_a_unit_ends_where_the_unit_does() -> None:
    """Check it for programs that are judged again and programs that are given up."""
    unit = replace(UNIT, first=4, programs=10)
    again = remaining(unit, Result(unit), 6, "text")
    twice = remaining(again, Result(again), 6, "text")
    without = remaining(twice, Result(twice), 6, "")
    assert [(each.first, each.programs) for each in (again, twice, without)] == [(7, 8), (7, 8), (7, 7)]
    later = remaining(again, Result(again), 9, "")
    assert (later.first, later.programs) == (10, 4)


def test_children_that_cannot_start_are_reported() -> None:
    with pytest.raises(EngineError, match=r"engine random: its process ended with exit code 1, 3 times"):
        run_unit(Unit("random", "original", "no-such", 1, programs=1))


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = """
import os, sys
from fuzz.engines.supervisor import run_unit
from fuzz.engines.unit import Unit
def watch(result):
    if result.state.programs:
        print(open(f"/proc/self/task/{os.getpid()}/children").read(), flush=True)
        os.kill(os.getpid(), 9)
run_unit(Unit("random", "original", "rfc-v1", 1), watch)
"""
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert result.returncode == -signal.SIGKILL
    (child,) = map(int, result.stdout.split())
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the end of the child")


def test_ctrl_c_ends_the_unit_and_keeps_its_findings(undisturbed: Result) -> None:
    def interrupt(result: Result) -> None:
        if result.found:
            raise KeyboardInterrupt

    before = children()
    result = run_unit(replace(UNIT, programs=None), interrupt)
    assert result.interrupted
    assert result.found
    assert children() == before


def test_messages_survive_the_pipe(undisturbed: Result) -> None:
    messages: list[Message] = [*undisturbed.found.values(), Fresh("x\n", (1, 2)), undisturbed.state, UnitState()]
    assert [from_line(to_line(message)) for message in messages] == messages
    assert any(isinstance(message, FindingRecord) for message in messages)
    with pytest.raises(ValueError, match="no message"):
        from_line(b"[1]")


def test_units_survive_json() -> None:
    unit = Unit("random", "a", "b", 3, 4, 5.5, 6, ("x", "y"), True, (1, 2), "regression x", "z")
    assert Unit.from_json(unit.to_json()) == unit


def test_the_program_in_flight_is_seen_from_outside() -> None:
    fd = make()
    one, other = SharedFlight(fd), SharedFlight(fd)
    os.close(fd)
    program = Program(Vm(), (Slot("a", 0, MIB, "anon"),), (GuestAccess(0, "read", "a", 0, True, None),) * 10_000)
    one.depart(7, program)
    assert (other.number(), other.text()) == (7, print_program(program))
    one.arrive()
    assert (other.number(), other.text()) == (7, "")
    assert SIZE > 10_000 * 32
    block = Par((GuestAccess(0, "read", "a", 0), GuestAccess(1, "write", "a", 0)), (Switch(0, 1, "after", "load", 2),))
    racing = replace(program, operations=(*program.operations[:9], block))
    one.depart(8, racing)
    assert (other.number(), other.text()) == (8, print_program(racing))
