# SPDX-License-Identifier: GPL-2.0-only
"""Registers of the emulated CPU, read through QEMU's gdb remote protocol."""

import re
import socket
from typing import Final

from .errors import RealError

_CHUNK: Final = 65536
_STOP: Final = b"\x03"
_FILES: Final = ("target.xml", "system-registers.xml")


class Registers:
    """Registers of the only CPU of a machine. A read stops the machine; the caller resumes it.

    :param connection: connection to QEMU's gdbstub
    :param patience: timeout for each answer in seconds
    """

    def __init__(self, connection: socket.socket, patience: float) -> None:
        self.connection = connection
        self.connection.settimeout(patience)
        self.rest = b""
        self.numbers: dict[str, int] = {}

    def read(self, name: str) -> int:
        """Return the value of a 64-bit system register, such as ``VTTBR_EL2``.

        :raises RealError: QEMU has none of this name, or does not answer
        """
        try:
            if self.numbers:
                self.connection.sendall(_STOP)
                self.packet()
            else:
                # The machine is already stopped by the new connection.
                self.learn()
            if name not in self.numbers:
                raise RealError(f"real: QEMU: its gdbstub does not know {name}; use version 7.2")
            value = bytes.fromhex(self.ask(f"p{self.numbers[name]:x}"))
        except (OSError, ValueError) as error:
            raise RealError(f"real: QEMU: its gdbstub does not answer: {error}; use version 7.2") from None
        return int.from_bytes(value, "little")

    def learn(self) -> None:
        """Learn the numbers of system registers."""
        self.ask("qSupported:xmlRegisters=aarch64")
        for file in _FILES:
            text, more = "", True
            while more:
                part = self.ask(f"qXfer:features:read:{file}:{len(text):x},ffb")
                text += part[1:]
                more = part.startswith("m")
            for tag in re.findall(r"<reg [^>]*>", text):
                found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
                if {"name", "regnum"} <= found.keys():
                    self.numbers[found["name"]] = int(found["regnum"])

    def ask(self, request: str) -> str:
        """Send a request; return its answer."""
        self.send(request)
        return self.packet()

    def send(self, request: str) -> None:
        """Send a request as one packet."""
        data = request.encode()
        self.connection.sendall(b"$" + data + b"#%02x" % (sum(data) & 0xFF))

    def packet(self) -> str:
        """Return the next packet, after acknowledging it."""
        while not (match := re.search(rb"\$([^#]*)#..", self.rest, re.DOTALL)):
            data = self.connection.recv(_CHUNK)
            if not data:
                raise OSError("it is closed")
            self.rest += data
        self.rest = self.rest[match.end() :]
        self.connection.sendall(b"+")
        # The requested data contains no protocol escapes.
        return match[1].decode(errors="replace")
