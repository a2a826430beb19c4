# SPDX-License-Identifier: GPL-2.0-only
"""Memory that user space has KVM map in advance, on versions without such a call, and in the forms of programs."""

import random
from pathlib import Path
from typing import Final

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.generation.mutations import mutate
from fuzz.judging.differential import Differential
from fuzz.language.binary import RECORD_SIZE, decode, encode
from fuzz.language.operations import GuestAccess, GuestPrefault
from fuzz.language.program import Program, ProgramError, pre_faults
from fuzz.language.text import load, parse, print_program
from fuzz.sides.outcome import Outcome

SEED: Final = load(Path(__file__).parents[3] / "corpus" / "seeds" / "prefault.s2")
HEAD: Final = "s2fuzz 1\nvm cpus=2\nslot a size=64K backing=anon\n"


def outcomes(program: Program, clean: bool = True) -> list[Outcome]:
    """Return the outcomes of a program on the original.

    :param clean: the original breaks no rule there
    """
    executor = Executor(candidate.get("original"), program)
    assert executor.create() == []
    found = []
    for at in range(len(program.operations)):
        outcome, violations = executor.step(at)
        assert violations == [] or not clean
        found.append(outcome)
    assert executor.destroy() == [] or not clean
    executor.dismantle()
    return found


def test_a_version_without_the_call_reads_each_page() -> None:
    (call, read, again) = outcomes(parse(f"{HEAD}cpu0 prefault a+4K 16K\ncpu1 read a+4K\ncpu0 read a+0\n"))
    assert (str(call), call.faults) == ("ok 0", 4)
    assert (read.faults, again.faults) == (0, 1)


def test_it_stops_at_the_first_page_that_cannot_be_read() -> None:
    text = "host unmap a+8K 4K\ncpu0 prefault a+0 16K\ncpu0 prefault a+8K 8K\nslot a delete\ncpu0 prefault a+0 4K\n"
    _, part, none, _, gone = outcomes(parse(HEAD + text))
    assert str(part) == f"ok {8 << 10}"
    assert [(each.status, each.predictable) for each in (none, gone)] == [("efault", False)] * 2


def test_the_seed_runs() -> None:
    assert {each.status for each in outcomes(SEED, clean=False)} == {"ok", "efault"}


def test_a_vcpu_that_was_only_read_for_has_not_run() -> None:
    """The reset of a vCPU that has run unmaps all memory."""
    reset = outcomes(parse(f"{HEAD}cpu0 prefault a+0 4K\ncpu0 reset\ncpu1 read a+0\n"))
    assert reset[-1].faults == 0


def test_two_versions_without_the_call_give_no_verdict() -> None:
    verdict = Differential(candidate.get("original"), candidate.get("rfc-v1")).run(SEED)
    assert verdict.refused == "KVM_PRE_FAULT_MEMORY (prefault), which original and rfc-v1 do not have"
    alone = Differential(candidate.get("original"), candidate.get("original")).run(SEED)
    assert alone.refused == "KVM_PRE_FAULT_MEMORY (prefault), which original does not have"


def test_the_binary_form_needs_its_mark() -> None:
    data = encode(SEED)
    assert decode(data) == SEED
    program = parse(f"{HEAD}cpu1 prefault a+4K 8K\n")
    record = bytearray(encode(program))
    assert decode(bytes(record)).operations == (GuestPrefault(1, "a", 4096, 8192),)
    record[2 * RECORD_SIZE + 7] = 0
    (other,) = decode(bytes(record)).operations
    assert not isinstance(other, GuestPrefault)


def test_random_bytes_and_mutations_do_not_make_it() -> None:
    chosen = random.Random(1)
    for _ in range(300):
        assert not pre_faults(decode(chosen.randbytes(20 * RECORD_SIZE)))
    program = parse(f"{HEAD}cpu0 read a+0\nhost discard a+0 4K\ncpu1 write a+0\n")
    assert not any(pre_faults(mutate(program, chosen)) for _ in range(300))
    # A program that has one keeps it, with other operands.
    program = parse(f"{HEAD}cpu0 prefault a+0 16K\n")
    made = {each for _ in range(300) for each in mutate(program, chosen).operations if isinstance(each, GuestPrefault)}
    assert len({(each.offset, each.size) for each in made}) > 10


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("cpu0 prefault a+1 4K", "no such place in slot a"),
        ("cpu0 prefault a+0 6K", "size 6K"),
        ("cpu0 prefault a+60K 8K", "size 8K"),
        ("cpu2 prefault a+0 4K", "cpu2"),
        ("cpu0 prefault a+0 0", "size 0"),
    ],
)
def test_wrong_lines(line: str, wrong: str) -> None:
    with pytest.raises(ProgramError, match=wrong.replace("+", r"\+")):
        parse(f"{HEAD}{line}\n")


def test_the_size_has_a_limit() -> None:
    text = "s2fuzz 1\nvm\nslot a size=1G backing=thp\ncpu0 prefault a+0 {}\n"
    program = parse(text.format("16M"))
    assert parse(print_program(program)) == decode(encode(program)) == program
    with pytest.raises(ProgramError, match="size"):
        parse(text.format("17M"))


def test_it_is_an_operation_of_its_vcpu_alone() -> None:
    with pytest.raises(ProgramError, match="cpuN prefault in a par block"):
        parse(f"{HEAD}par\n  cpu0 prefault a+0 4K\n  cpu1 read a+0\nend\n")
    assert isinstance(parse(f"{HEAD}cpu0 read a+0\n").operations[0], GuestAccess)
