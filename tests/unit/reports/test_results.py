# SPDX-License-Identifier: GPL-2.0-only
"""The result of each operation in words."""

import re

import pytest

import candidate
from fuzz.execution.executor import Executor
from fuzz.language.program import Program
from fuzz.language.text import parse
from fuzz.reports.results import result_text
from fuzz.sides.outcome import Outcome

from ..console import ROOT

HEAD = "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\n"


def results(program: Program) -> list[str]:
    """Return the results of the operations of a program, on the original."""
    side = Executor(candidate.get("original"), program)
    side.create()
    steps = enumerate(program.operations)
    found = [result_text(op, side.step(at)[0]) for at, op in steps if not side.dead]
    side.dismantle()
    return found


@pytest.mark.parametrize(
    ("operations", "last"),
    [
        ("host write a+0 4K\ncpu0 read a+0", "reads what operation 1 wrote, after 1 fault"),
        ("cpu0 write a+0\ncpu0 read a+0", "reads what operation 1 wrote"),
        ("cpu0 read a+0", "reads what no operation wrote, after 1 fault"),
        ("cpu0 fetch a+0", "executes what no operation wrote, after 1 fault"),
        ("cpu0 write a+0", "done, after 1 fault"),
        ("cpu0 write a+8K\nlog a get", "dirty page 2"),
        ("log a get", "no dirty page"),
        ("cpu0 read a+0\nhost age a+0 4K", "young"),
        ("host age a+0 4K", "not young"),
        (
            "host unmap a+0 4K\ncpu0 read a+0",
            "user space gets an error: it has no memory there, or may not use it so, after 1 fault",
        ),
        ("host poison a+0\ncpu0 read a+0", "user space gets SIGBUS, because memory has failed, after 1 fault"),
        (
            "slot a delete\ncpu0 read a+0",
            "no slot has this address: user space must emulate the access, after 1 fault",
        ),
        ("slot a delete\ncpu0 fetch a+0", "the guest gets an abort, after 1 fault"),
    ],
)
def test_result(operations: str, last: str) -> None:
    assert results(parse(f"{HEAD}{operations}\n"))[-1] == last


def test_a_block_has_a_result_for_each_of_its_operations() -> None:
    text = "par\ncpu0 write a+0\ncpu1 read a+4K\nend\ncpu0 read a+0\n"
    block, load = results(parse(f"{HEAD}{text}"))
    assert block.split(" | ") == [
        "done, after 1 fault",
        "reads what no operation wrote (other values are correct too), after 1 fault",
    ]
    assert load == "reads what operation 1 wrote"


def test_words_for_failed_operations() -> None:
    op = parse(f"{HEAD}cpu0 read a+0\n").operations[0]
    assert result_text(op, Outcome("error", -12, 2)) == "fails: -ENOMEM, after 2 faults"
    assert result_text(op, Outcome("oops", "KeyError in f", detail="more")) == "the kernel crashes: KeyError in f"
    assert (
        result_text(op, Outcome("ok", 3, predictable=False))
        == "reads what operation 3 wrote (other values are correct too)"
    )


def test_every_status_has_words() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "fuzz" / "execution").glob("*.py"))
    statuses = set(re.findall(r"\bOutcome\(\"(\w+)\"|\bself\.status = \"(\w+)\"", sources))
    op = parse(f"{HEAD}cpu0 write a+0\n").operations[0]
    words = {status: result_text(op, Outcome(status)) for status in map("".join, statuses)}
    assert {"ok", "io", "abort", "sigbus", "efault", "stuck", "deadlock", "oops", "error"} <= words.keys()
    assert len(set(words.values())) == len(words)
