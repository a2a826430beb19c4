# SPDX-License-Identifier: GPL-2.0-only
"""The lines of casemate's trace format (rems-project/casemate, doc/asciidoc/sections/trace-format.adoc)."""

from typing import Final

# Size of a table in bytes.
PAGE: Final = 4096
PLAIN: Final = "plain"
RELEASE: Final = "release"


class CasemateLines:
    """Writes one numbered s-expression per line.

    All lines belong to one thread, because casemate only accepts a flush by the thread that broke the entry.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        # ``name:number`` at the end of each line.
        self.source = "start:0"

    def add(self, transition: str, fields: str) -> None:
        self.text.append(f'({transition} (id {len(self.text)}) (tid 0) {fields} (src "{self.source}"))')

    def register(self, name: str, value: int) -> None:
        """Add a write of a system register; its name is in lower case."""
        self.add("sysreg-write", f"(sysreg {name}) (value {value:#x})")

    def init_page(self, address: int) -> None:
        """Add a page of zeroes that may become a table."""
        self.add("mem-init", f"(address {address:#x}) (size {PAGE:#x})")

    def free_page(self, address: int) -> None:
        """Add that a page is no longer a table."""
        self.add("mem-free", f"(address {address:#x}) (size {PAGE:#x})")

    def write(self, address: int, value: int, order: str) -> None:
        """Add a store of an entry; *order*: PLAIN or RELEASE."""
        self.add("mem-write", f"(mem-order {order}) (address {address:#x}) (value {value:#x})")

    def hint(self, kind: str, location: int, value: int) -> None:
        self.add("hint", f"(kind {kind}) (location {location:#x}) (value {value:#x})")

    def lock(self, address: int) -> None:
        self.add("lock", f"(address {address:#x})")

    def unlock(self, address: int) -> None:
        self.add("unlock", f"(address {address:#x})")

    def dsb(self, domain: str) -> None:
        """Add a data synchronization barrier: ``ish``, ``ishst``, ``nsh`` or ``sy``."""
        self.add("barrier", f"dsb (kind {domain})")

    def isb(self) -> None:
        self.add("barrier", "isb")

    def tlbi(self, operation: str) -> None:
        """Add a TLBI without an operand."""
        self.add("tlbi", operation)

    def tlbi_ipa(self, ipa: int, ttl: int) -> None:
        """Add a ``TLBI IPAS2E1IS``.

        :param ipa: address in bytes
        :param ttl: level hint as in bits [47:44] of the operand; 0: none
        """
        self.add("tlbi", f"ipas2e1is (value {ipa >> 12 | ttl << 44:#x})")
