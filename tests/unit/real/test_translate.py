# SPDX-License-Identifier: GPL-2.0-only
"""Programs for user space to play: the operations that are played, left out, and refused."""

from typing import Final

import pytest

from fuzz.generation.generator import Generator
from fuzz.language.operations import OPERATIONS, Par
from fuzz.language.text import parse, print_program
from fuzz.language.validate import validate
from fuzz.real.errors import UnplayableError
from fuzz.real.left_out import ACCESSES, LEFT_OUT, OLD_CPU
from fuzz.real.lines import HOST_CODES, free_windows
from fuzz.real.translate import Played, played

from ..console import ROOT

PAGE: Final = 4096
# A second slot after one of 2G: together they fill a 32-bit address space.
FULL: Final = "hugetlb1g\nslot b ipa=2G size=2G backing=hugetlb1g alias=a"
HEAD: Final = "s2fuzz 1\nvm\nslot a size=4M backing=thp log=on\n"


def of(text: str) -> Played:
    """Return the part of a program that is played."""
    return played(parse(text), PAGE)


def test_a_program_as_lines() -> None:
    text = (ROOT / "corpus/regressions/livelock-two-levels.s2").read_text()
    part = of(text)
    assert part.lines == (
        "v 32 1 1 0 0 0x8000000 0xa000000 0 0",
        "s 0 0 0x40000000 0x40000000 0x7f0000000000 30 -1 0 hugetlb1g",
        "R 0 0 0x0",
        "F 0 0 0x0",
    )
    assert (part.left_out, part.places) == ((), (0, 1))


def test_every_operation_is_played_or_left_out() -> None:
    """Check one operation of each kind, and one access of each kind."""
    lines = """\
cpu0 read a+0
cpu0 write a+4K
cpu0 fetch a+8K
cpu0 cache on
cpu0 setway
cpu0 move 1
cpu1 reset
cpu0 outside read 1024G
host write a+0 8K
host collapse a+0
host split a+0
host migrate a+0 4K
host discard a+0 4K
host poison a+12K
host share a+0 8K
host unmap a+4K 4K
host protect a+8K 4K on
host protect a+8K 4K off
log a on
log a get
log a clear 0 4M
slot a move 8G
slot a delete
slot a create ipa=4G log=on
"""
    part = of(f"{HEAD.replace('vm', 'vm manual=on')}{lines}")
    assert part.left_out == ()
    assert part.lines[2:] == (
        *("R 0 0 0x0", "W 0 0 0x1000", "F 0 0 0x2000", "C 0 on", "C 0 way", "Z", "I 1"),
        *("O 0 R 0x10000000000 1", "H 0 0x0 0x2000", "K 0 0x0"),
        *("S 0 0x0", "G 0 0x0 0x1000", "D 0 0x0 0x1000", "P 0 0x3000", "V 0 0x0 0x2000", "U 0 0x1000 0x1000"),
        *("A 0 0x2000 0x1000", "a 0 0x2000 0x1000"),
        *("L 0 on", "g 0", "c 0 0x0 0x400000", "m 0 0x200000000", "X 0", "N 0 0x100000000 1"),
    )
    kinds = {type(op) for op in part.program.operations} | {kind for kind, _ in LEFT_OUT}
    missing = [op.__name__ for op in OPERATIONS if not issubclass(op, tuple(kinds))]
    assert missing == [], (
        "put them into LEFT_OUT of fuzz/real/left_out.py, with the reason why user space cannot cause them; "
        "or give them a line in fuzz/real/lines.py, and play it in this test"
    )


def test_operations_that_user_space_cannot_cause_are_reported() -> None:
    part = of(
        f"{HEAD}cpu0 evict a+0\ncpu0 read a+0 mmu=off\ntable unmap a+0 4K\ncpu0 walk a+0\ncpu1 write a+0 fail=1\n"
    )
    assert part.places == (1, 4)
    assert print_program(part.program).splitlines()[-2:] == ["cpu0 read a+0", "cpu1 write a+0"]
    assert part.left_out == (
        "operation 1: cpu0 evict a+0: the CPU decides what a TLB evicts",
        "operation 3: table unmap a+0 4K: user space cannot call pgtable.c",
        "operation 4: cpu0 walk a+0: our code in the guest does not support walk",
        "operation 5: cpu1 write a+0 fail=1: played without fail=, since user space cannot make allocations fail",
    )


def test_settings_of_the_model_alone_are_reported() -> None:
    part = of(HEAD.replace("vm", "vm resched=2 grace=3 haf=on") + "cpu0 read a+0\n")
    assert [each.partition(":")[0] for each in part.left_out] == ["vm resched=", "vm grace=", "vm haf="]
    vm = part.program.vm
    assert (vm.resched, vm.grace, vm.haf, vm.fwb, vm.ttl, vm.range) == (None, None, False, True, True, True)


def test_a_block_is_played_in_order() -> None:
    part = of(f"{HEAD}par\n  cpu0 write a+0\n  cpu1 write a+0\n  switch cpu0 to cpu1 after fault 1\nend\n")
    assert part.lines[2:] == ("W 0 0 0x0", "W 1 0 0x0")
    assert not any(isinstance(op, Par) for op in part.program.operations)
    assert part.left_out[0].startswith("par blocks: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s2fuzz 1\nvm granule=64K\nslot a size=4M backing=thp\ncpu0 read a+0\n", "pages of 64K, and the kernel"),
        (f"{HEAD}cpu0 evict a+0\n", "no operation that user space can cause"),
        ("s2fuzz 1\nvm ring=4K\nslot a size=4M backing=thp\ncpu0 read a+0\n", "dirty rings"),
        ("s2fuzz 1\nvm bbm=on\nslot a size=4M backing=thp\ncpu0 read a+0\n", "FEAT_BBM"),
        ("s2fuzz 1\nvm pa=52\nslot a size=4M backing=thp\ncpu0 read a+0\n", "addresses of 52 bits"),
        ("s2fuzz 1\nvm\nslot a size=4M backing=memfd\ncpu0 read a+0\n", "slot a is a guest_memfd"),
        ("s2fuzz 1\nvm\nslot a size=1G backing=thp\ncpu0 read a+0\n", "1G of thp memory, and the emulated machine has"),
        (f"s2fuzz 1\nvm ipa=32\nslot a ipa=0 size=2G backing={FULL}\ncpu0 read a+0\n", "no room for our code"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(UnplayableError, match=words):
        of(text)


def test_an_access_beyond_the_address_space() -> None:
    lines = ("cpu0 outside fetch 1024G", "cpu1 outside write 2048G mmu=off", "cpu0 outside walk 1024G")
    part = of("\n".join([HEAD.strip(), *lines, "cpu0 outside read 262144G", ""]))
    assert part.lines[2:] == ("O 0 F 0x10000000000 1", "O 1 W 0x20000000000 0")
    assert part.left_out == (
        "operation 3: cpu0 outside walk 1024G: our code in the guest does not support walk",
        "operation 4: cpu0 outside read 262144G: the emulated CPU has addresses of 48 bits",
    )


def test_vms_have_mte_if_the_cpu_has_it() -> None:
    program = parse("s2fuzz 1\nvm mte=on\nslot a size=4M backing=thp\ncpu0 read a+0\n")
    assert played(program, PAGE).lines[0].endswith(" 1")
    with pytest.raises(UnplayableError, match="VMs have MTE"):
        played(program, PAGE, cpu=OLD_CPU)


def test_whole_hugetlb_pages_are_discarded() -> None:
    text = "s2fuzz 1\nvm\nslot a size=8M backing=hugetlb2m offset=2M\n"
    part = of(f"{text}host discard a+4K 4M\nhost discard a+4K 2M\nhost unmap a+0 2M\nhost migrate a+4K 4K\n")
    assert part.lines[2:] == ("D 0 0x200000 0x200000", "Z", "U 0 0x0 0x200000", "G 0 0x1000 0x1000")


def test_random_programs() -> None:
    """Check that each played part is a valid program, with a line for each operation, and room for our code."""
    generator, number = Generator(1, PAGE), 0
    codes = {*ACCESSES.values(), *HOST_CODES.values(), *"aCIOZLgcXNm"}
    for _ in range(200):
        program = generator.next()
        try:
            part = played(program, PAGE)
        except UnplayableError:
            continue
        validate(part.program)
        number += 1
        assert len(part.lines) == 1 + len(part.program.slots) + len(part.program.operations)
        assert {line.split()[0] for line in part.lines[1 + len(part.program.slots) :]} <= codes
        assert len(set(free_windows(part.program))) == 2
    assert number > 100
