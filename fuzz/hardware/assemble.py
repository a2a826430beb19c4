# SPDX-License-Identifier: GPL-2.0-only
"""The machine code of payload.s: as stored, or assembled anew if an assembler is installed."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from ..files import write_atomically

HERE: Final = Path(__file__).parent
SOURCE: Final = HERE / "payload.s"
STORED: Final = HERE / "payload.hex"
# From Debian's binutils-aarch64-linux-gnu.
ASSEMBLER: Final = "aarch64-linux-gnu-as"
OBJCOPY: Final = "aarch64-linux-gnu-objcopy"
WORDS_A_LINE: Final = 8


def stored() -> bytes:
    """Return the machine code from payload.hex: words of 32 bits, little-endian; ``#`` starts a comment line."""
    lines = [line for line in STORED.read_text().splitlines() if not line.startswith("#")]
    return b"".join(int(word, 16).to_bytes(4, "little") for line in lines for word in line.split())


def can_assemble() -> bool:
    """Return whether there is an assembler for arm64."""
    return shutil.which(ASSEMBLER) is not None and shutil.which(OBJCOPY) is not None


def assembled() -> bytes:
    """Return the machine code assembled from payload.s.

    :raises OSError: there is no assembler
    :raises subprocess.CalledProcessError: it rejects the source
    """
    with tempfile.TemporaryDirectory() as folder:
        made, code = Path(folder) / "payload.o", Path(folder) / "payload.bin"
        subprocess.run([ASSEMBLER, "-o", made, SOURCE], check=True)
        subprocess.run([OBJCOPY, "-O", "binary", "-j", ".text", made, code], check=True)
        return code.read_bytes()


def as_text(code: bytes) -> str:
    """Return the contents of payload.hex for this code."""
    words = [f"{int.from_bytes(code[at : at + 4], 'little'):08x}" for at in range(0, len(code), 4)]
    lines = [" ".join(words[at : at + WORDS_A_LINE]) for at in range(0, len(words), WORDS_A_LINE)]
    head = ["# SPDX-License-Identifier: GPL-2.0-only", "# Made from payload.s by python -m fuzz.hardware.assemble"]
    return "\n".join([*head, *lines]) + "\n"


def main() -> int:
    """Write payload.hex."""
    if not can_assemble():
        print(f"there is no {ASSEMBLER}; install it (Debian: binutils-aarch64-linux-gnu)", file=sys.stderr)
        return 2
    write_atomically(STORED, as_text(assembled()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
