# SPDX-License-Identifier: GPL-2.0-only
"""/init as a player of programs, without KVM: invalid lines, and memory that cannot be allocated."""

import re
from pathlib import Path
from typing import Final

import pytest

from fuzz.language.bounds import CPUS, MAX_SLOTS, VMS
from fuzz.real.answers import CREATION, DESTRUCTION, RealAnswers, RealOutcome, parse
from fuzz.real.initrd import NATIVE

from .natively import STUBS, compiled, said

# Guests that report their accesses, and a KVM that accepts all calls.
PLAYER: Final = (
    "#define _GNU_SOURCE\n"
    + STUBS
    + r"""
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct vm vms[MAX_VMS];
int vm_count, cpu_count, has_tags;
u64 stub_ipa, mmio_ipa;

int make_vms(int bits, int manual, u64 split) { return 0; }
int init_vcpu(int vm, int cpu) { return 0; }
void enter(int number, char kind, u64 address) { result("ok", "vCPU %d %c %#lx", number, kind, address); }
void guest_caches(int number, int on) { result("ok", "vCPU %d %d", number, on); }
void guest_outside(int number, char kind, u64 address, int mmu) { enter(number, kind, address); }
void guest_tags(int number, u64 start, u64 end) { result("ok", "vCPU %d %#lx-%#lx", number, start, end); }
int leave_tags(char **shifts, int count) { return 0; }

static int accepted(int fd, unsigned long request, void *argument) { return 0; }

#define ioctl accepted
#define calloc(count, size) (getenv("NO_MEMORY") ? NULL : calloc(count, size))
#define malloc(size) (getenv("NO_MEMORY") ? NULL : malloc(size))
#include "player.c"
#include "slots.c"
#include "host.c"

int main(void)
{
    static char text[1 << 16];

    page_size = 4096;
    text[fread(text, 1, sizeof(text) - 1, stdin)] = 0;
    play(text);
    return 0;
}
"""
)
# Two VMs with three vCPUs each, and two slots.
VM: Final = "v 40 3 2 0 0 0x8000000 0xa000000 0 0"
SLOT: Final = "s 0 0 0x40000000 0x200000 0x100000000 0 -1 0 anon"
OTHER: Final = "s 1 1 0x40000000 0x200000 0x100000000 0 0 0 anon"


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program that plays the lines of its standard input."""
    return compiled(PLAYER, tmp_path_factory.mktemp("player"))


def played(player: Path, *lines: str) -> RealAnswers:
    """Return the outcomes of lines."""
    return parse(said(player, "\n".join([*lines, ""])))


def test_valid_lines_are_played(player: Path) -> None:
    lines = ("R 0 0 0x1000", "W 5 1 0", "C 2 way", "O 3 F 0x10000000000 1", "T 0 0 0x1000", "I 5", "Z", "H 1 0 0x1000")
    answers = played(player, VM, SLOT, OTHER, *lines, "g 0")
    assert [str(outcome) for outcome in answers.outcomes.values()] == [
        "ok vCPU 0 R 0x40001000",
        "ok vCPU 5 W 0x40000000",
        "ok vCPU 2 -1",
        "ok vCPU 3 F 0x10000000000",
        "ok vCPU 0 0-0x1000",
        "ok 0",
        "ok 0",
        "ok 0",
        "ok log",
    ]


@pytest.mark.parametrize(
    "line",
    [
        *(
            "R 6 0 0",
            "R -1 0 0",
            "R x 0 0",
            "R 1x 0 0",
            "W 0 2 0",
            "W 0 -1 0",
            "F 0 8 0",
            "C 6 on",
            "O 6 R 0 1",
            "T 6 0 0",
        ),
        *("I 6", "I 4294967296", "g 2", "g -1", "g x", "H 8 0 0x1000", "X 2"),
        *("R 0 0", "C 0", "O 0 R 0", "T 0 0", "R", "g"),
    ],
)
def test_a_number_that_does_not_exist(player: Path, line: str) -> None:
    """The lines before and after an invalid one are played."""
    unknown, fine = RealOutcome("unknown", "0"), RealOutcome("ok", "0")
    assert played(player, VM, SLOT, OTHER, "Z", line, "Z").outcomes == {0: fine, 1: unknown, 2: fine}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([VM.replace("40 3 2", "40 9 2")], "-22 of the VM"),
        ([VM.replace("40 3 2", "40 0 2")], "-22 of the VM"),
        ([VM.replace("40 3 2", "40 3 5")], "-22 of the VM"),
        ([VM.rpartition(" ")[0]], "-22 of the VM"),
        ([VM, SLOT.replace("s 0 0", "s 8 0")], "-22 of a slot"),
        ([VM, SLOT.replace("s 0 0", "s -1 0")], "-22 of a slot"),
        ([VM, SLOT.replace("s 0 0", "s 0 2")], "-22 of a slot"),
        ([VM, SLOT.rpartition(" ")[0]], "-22 of a slot"),
        ([SLOT], "-22 of a slot"),
        # An address that no process has.
        ([VM, SLOT.replace("0x100000000", "0x8000000000000000")], "-12 of anon"),
    ],
)
def test_no_operation_runs_without_its_vms_and_slots(player: Path, lines: list[str], why: str) -> None:
    assert played(player, *lines, "Z").outcomes == {CREATION: RealOutcome("error", why)}


@pytest.mark.parametrize(("line", "note"), [("g 0", ""), ("c 0 0 0x40000", ""), ("G 0 0 0x1000", "migrate: ")])
def test_no_memory_for_an_operation(player: Path, monkeypatch: pytest.MonkeyPatch, line: str, note: str) -> None:
    assert played(player, VM, SLOT, line).outcomes[0].status == "ok"
    monkeypatch.setenv("NO_MEMORY", "1")
    answers = played(player, VM, SLOT, line, "Z")
    assert answers.outcomes == {0: RealOutcome("error", "-12"), 1: RealOutcome("ok", "0")}
    assert answers.notes == ([f"{note}Cannot allocate memory"] if note else [])
    # A program that lacked memory is played again on a fresh machine.
    assert answers.incomplete is bool(note)


def test_the_limits_are_those_of_programs() -> None:
    text = (NATIVE / "init.h").read_text()
    values = {name: int(value) for name, value in re.findall(r"#define (\w+) \(?(-?\d+)\)?\n", text)}
    assert (values["MAX_SLOTS"], values["MAX_VMS"], values["MAX_CPUS"]) == (MAX_SLOTS, VMS[-1], CPUS[-1])
    assert (values["CREATION"], values["DESTRUCTION"]) == (CREATION, DESTRUCTION)
    # KVM's number of the slot of our own code is none of theirs.
    assert values["STUB_SLOT"] >= MAX_SLOTS
