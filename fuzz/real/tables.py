# SPDX-License-Identifier: GPL-2.0-only
"""The real stage-2 tables, read from the memory of the waiting machine, and their comparison with the model's.

After an operation of a vCPU, VTTBR_EL2 holds the root of its VM's tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from reference.machine.descriptor import TABLE, kind
from reference.machine.granule import Granule

from ..language.operations import GuestAccess, GuestCache, GuestOutside, GuestSetWay, Operation
from ..language.program import Program
from ..language.text import headings
from ..sides.guest import Guest
from .errors import NoRootError
from .lines import WINDOW, free_windows
from .machine import RealMachine

# Operations in which a vCPU enters its guest; afterwards VTTBR_EL2 is that of its VM.
RUNS: Final = (GuestAccess, GuestCache, GuestOutside, GuestSetWay)
# Fields of an entry.
_ADDRESS: Final = (1 << 48) - 1
_VALID: Final = 1
_READ: Final = 1 << 6
_WRITE: Final = 1 << 7
_ACCESSED: Final = 1 << 10
_NO_EXECUTE: Final = 1 << 54
_ROOT: Final = _ADDRESS & ~1

# Level and entry of leaves, by guest address.
Leaves: TypeAlias = dict[int, tuple[int, int]]
# Returns a number of words at a physical address.
Words: TypeAlias = Callable[[int, int], list[int]]


@dataclass(frozen=True)
class TableDifference:
    """A leaf that exists on one side only, or has different permissions.

    :param at: index of the operation after which it was seen
    :param heading: the operation, for messages
    :param vm: number of the VM
    :param ipa: guest address of the leaf
    :param model: level and permissions, such as ``L3 rw-A``; "" if there is no leaf
    :param real: likewise for the kernel
    """

    at: int
    heading: str
    vm: int
    ipa: int
    model: str
    real: str

    def text(self) -> str:
        """Return one line for the report."""
        vm = f"VM {self.vm}, " if self.vm else ""
        return f"{vm}{self.ipa:#x}: model {self.model or 'nothing'}, kernel {self.real or 'nothing'}"


def leaves(words: Words, root: int, start_level: int, ia_bits: int, granule: Granule) -> Leaves:
    """Return all valid leaves below a root.

    :param root: physical address
    """
    found: Leaves = {}
    entries = 1 << max(ia_bits - granule.level_shift(start_level), 0)
    left = [(root, start_level, 0, entries)]
    while left:
        at, level, base, count = left.pop()
        for index, entry in enumerate(words(at, count)):
            if not entry:
                continue
            ipa = base + (index << granule.level_shift(level))
            if kind(entry, level, granule) == TABLE:
                table = entry & _ADDRESS & -granule.page_size
                left.append((table, level + 1, ipa, granule.entries))
            elif entry & _VALID:
                found[ipa] = level, entry
    return found


def shown(leaf: tuple[int, int] | None) -> str:
    """Return level and permissions of a leaf; "" for none."""
    if leaf is None:
        return ""
    level, entry = leaf
    bits = ((_READ, "r"), (_WRITE, "w"))
    rights = "".join(letter if entry & bit else "-" for bit, letter in bits)
    return f"L{level} {rights}{'-' if entry & _NO_EXECUTE else 'x'}{'A' if entry & _ACCESSED else '-'}"


class RealTables:
    """Compares the tables of a machine with those of the model, operation by operation.

    *looks*: number of comparisons of one VM's tables; *equal*: number of comparisons without a difference

    :param machine: machine that plays the program
    :param program: the program as played
    """

    def __init__(self, machine: RealMachine, program: Program) -> None:
        self.machine = machine
        self.memory = machine.memory
        self.program = program
        self.names = headings(program)
        self.stub = free_windows(program)[0]
        self.roots: dict[int, int] = {}
        self.looks = self.equal = 0

    def look(self, at: int, op: Operation, guests: list[Guest]) -> list[TableDifference]:
        """Return the differences after an operation.

        :param guests: the VMs of the model, at the same point
        :raises fuzz.real.errors.RealError: QEMU does not answer
        """
        self.learn(op)
        found: list[TableDifference] = []
        for vm in sorted(self.roots):
            different = self.compare(guests[vm], self.roots[vm])
            self.looks += 1
            self.equal += not different
            names = (at, self.names[at + 1], vm)
            found += [TableDifference(*names, ipa, model, real) for ipa, model, real in different]
        return found

    def learn(self, op: Operation) -> None:
        """Record the root of the VM whose vCPU has just run.

        :raises fuzz.real.errors.NoRootError: it is unknown
        """
        if isinstance(op, RUNS):
            vm = op.cpu // self.program.vm.cpus
            if vm not in self.roots:
                self.roots[vm] = self.root()

    def root(self) -> int:
        """Return the physical address of the tables of the VM that ran last.

        :raises fuzz.real.errors.NoRootError: it is unknown
        """
        root = self.machine.register("VTTBR_EL2") & _ROOT
        if not root:
            # Without VHE the host runs without stage 2, or with its own.
            raise NoRootError("real: the kernel clears VTTBR_EL2 after the guest has run; use --tables with VHE")
        return root

    def compare(self, guest: Guest, root: int) -> list[tuple[int, str, str]]:
        """Return guest address and both leaves of each difference."""
        regime, arena = guest.regime, guest.side.kernel.arena

        def theirs(address: int, count: int) -> list[int]:
            return self.memory.words(address, count).tolist()

        shape = (regime.start_level, regime.ia_bits, guest.granule)
        model = leaves(arena.unsigned, arena.base + (regime.root << 3), *shape)
        real = leaves(theirs, root, *shape)
        # Our code in the guest has a slot that the model does not have.
        mine = {ipa: leaf for ipa, leaf in real.items() if not self.stub <= ipa < self.stub + WINDOW}
        different = [ipa for ipa in sorted(model.keys() | mine.keys()) if shown(model.get(ipa)) != shown(mine.get(ipa))]
        return [(ipa, shown(model.get(ipa)), shown(mine.get(ipa))) for ipa in different]
