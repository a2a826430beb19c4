# SPDX-License-Identifier: GPL-2.0-only
"""Leaves read from tables, and registers read with the gdb protocol."""

import socket
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from fuzz.real.errors import RealError
from fuzz.real.memory import BASE, RealMemory
from fuzz.real.registers import Registers
from fuzz.real.tables import leaves, shown
from reference.machine.granule import Granule

ROOT: Final = 0x1000
GRANULE: Final = Granule(12)


def test_leaves_of_tables_of_three_levels() -> None:
    tables = {
        # Two concatenated tables: 40 bits of address, from level 1 on.
        ROOT: [0] * 1024,
        0x3000: [0x40_0000 | 0x4FD, 0x5000 | 3, *[0] * 510],
        0x5000: [*[0] * 511, 0x7000 | 0x47F | 1 << 54],
    }
    tables[ROOT][1] = 0x3000 | 3
    tables[ROOT][1023] = 0x40_0000_0000 | 0x4FD
    # This entry is neither valid nor empty: private data of the kernel is no leaf.
    tables[0x5000][7] = 0xFE

    def words(address: int, count: int) -> list[int]:
        assert len(tables[address]) == count
        return tables[address]

    found = leaves(words, ROOT, 1, 40, GRANULE)
    assert {ipa: shown(leaf) for ipa, leaf in found.items()} == {
        0x4000_0000: "L2 rwxA",
        0x4020_0000 + 0x1FF000: "L3 r--A",
        1023 << 30: "L1 rwxA",
    }
    assert shown(None) == ""


def test_a_table_outside_of_memory() -> None:
    with RealMemory() as memory, pytest.raises(RealError, match="a table of the kernel lies at 0x1000"):
        memory.words(0x1000, 512)
    with RealMemory() as memory:
        assert memory.words(BASE, 2).tolist() == [0, 0]


class Stub(threading.Thread):
    """A gdbstub with one register; *asked*: the packets that it received."""

    def __init__(self, connection: socket.socket, answers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.connection = connection
        self.answers = answers
        self.asked: list[str] = []

    def run(self) -> None:
        data = b""
        while got := self.connection.recv(4096):
            data = (data + got).replace(b"+", b"")
            if data == b"\x03":
                self.say("T02thread:01;")
                data = b""
            while b"#" in data[:-2]:
                packet, _, rest = data.partition(b"#")
                data = rest[2:]
                text = packet.removeprefix(b"\x03").removeprefix(b"$").decode()
                self.asked.append(text)
                self.say(next((answer for key, answer in self.answers.items() if text.startswith(key)), ""))

    def say(self, text: str) -> None:
        """Send a packet, in two parts."""
        data = b"+$" + text.encode() + b"#%02x" % (sum(text.encode()) & 0xFF)
        self.connection.sendall(data[:3])
        self.connection.sendall(data[3:])


XML: Final = (
    '<reg name="OTHER" bitsize="64" regnum="70"/><reg name="VTTBR_EL2" bitsize="64" regnum="71" group="cp_regs"/>'
)
ANSWERS: Final = {
    "qSupported": "PacketSize=1000",
    "qXfer:features:read:target.xml:": "l<target/>",
    f"qXfer:features:read:system-registers.xml:{20:x},": f"l{XML[20:]}",
    "qXfer:features:read:system-registers.xml:0,": f"m{XML[:20]}",
    f"p{71:x}": "0010005000000100",
}


@pytest.fixture
def stub() -> Iterator[tuple[Registers, Stub]]:
    """Make both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        server = Stub(theirs, dict(ANSWERS))
        server.start()
        yield Registers(ours, 10.0), server
        ours.shutdown(socket.SHUT_RDWR)
        server.join()


def test_registers(stub: tuple[Registers, Stub]) -> None:
    registers, server = stub
    assert registers.read("VTTBR_EL2") == 0x1000050001000
    before = len(server.asked)
    assert registers.read("VTTBR_EL2") == 0x1000050001000
    # Register numbers are queried only once.
    assert server.asked[before:] == ["p47"]


def test_a_register_that_is_not_there(stub: tuple[Registers, Stub]) -> None:
    with pytest.raises(RealError, match="its gdbstub does not know VBAR_EL9"):
        stub[0].read("VBAR_EL9")


def test_a_register_that_cannot_be_read(stub: tuple[Registers, Stub]) -> None:
    stub[1].answers["p"] = "E14"
    stub[1].answers.pop("p47")
    with pytest.raises(RealError, match="its gdbstub does not answer"):
        stub[0].read("VTTBR_EL2")
