# SPDX-License-Identifier: GPL-2.0-only
"""The texts of a folder with tables: the script that queries QEMU, and the description of the files."""

import shlex
from typing import Final

from . import layout
from .qemu import PROGRAM, VARIABLE, options
from .tables import Tables

SCRIPT: Final = "start.sh"
QUESTIONS: Final = "questions.txt"
TABLES: Final = "tables.bin"
# Images and their addresses in QEMU's memory.
IMAGES: Final = {
    "code.bin": layout.CODE,
    "mailbox.bin": layout.MAILBOX,
    "jobs.bin": layout.JOBS,
    "questions.bin": layout.QUESTIONS,
    TABLES: layout.TABLES,
}
# Marks a line of QUESTIONS for which QEMU 7.2 may give another answer.
KNOWN: Final = "(known deviation: "
_MEMORY: Final = "memory.img"
# Timeout for QEMU in seconds.
_PATIENCE: Final = 60


def script(asked: int) -> str:
    """Return the shell script that queries QEMU and compares.

    :param asked: number of questions
    """
    loaders = [f"loader,file={name},addr={address:#x},force-raw=on" for name, address in IMAGES.items()]
    arguments = [*options(_MEMORY), *(word for each in loaders for word in ("-device", each))]
    # One line for an option and its value, or for two options without values.
    pairs = " \\\n    ".join(shlex.join(arguments[at : at + 2]) for at in range(0, len(arguments), 2))
    first = (layout.ANSWERS - layout.RAM) // 8
    return f"""\
#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Asks QEMU the questions of {QUESTIONS}; see README.txt.
# Exit code: 0 all answers are as expected, 1 some are not, 2 QEMU did not answer.
set -eu
cd "$(dirname "$0")"
rm -f {_MEMORY}
trap 'rm -f {_MEMORY} answers.txt' EXIT
# It starts when it reads a byte, and ends at the end of its input.
printf g | timeout {_PATIENCE} "${{{VARIABLE}:-{PROGRAM}}}" \\
    {pairs} \\
    >/dev/null || {{ echo "QEMU did not answer" >&2; exit 2; }}
dd if={_MEMORY} bs=8 skip={first} count={asked} 2>/dev/null |
    od -A n -v -t x8 -w8 | tr -d ' ' >answers.txt
paste -d ' ' answers.txt {QUESTIONS} | awk '
    $1 == $2 {{ next }}
    index($0, "{KNOWN}") {{ known++; next }}
    {{ wrong++; $1 = "QEMU answers " $1 ", expected"; print }}
    END {{
        printf "%d answers: %d other than expected, %d known deviations\\n", NR, wrong, known
        exit wrong > 0
    }}'
"""


def readme(name: str, version: str, place: str, vms: dict[int, Tables]) -> str:
    """Describe the contents of the folder, in lines of 72 columns if names are short.

    :param name: name of the program's file
    :param version: the version that built the tables
    :param place: the operation after which they were captured
    :param vms: number of each VM with tables -> its tables
    """
    registers = "".join(_registers(number, tables) for number, tables in vms.items())
    return f"""\
Stage-2 tables for QEMU
=======================
s2fuzz ran a program on a version of KVM's stage-2 code, and copied the
tables that were there then.

  program  program.s2 ({name})
  version  {version}
  after    {place}

{registers}HCR_EL2 has DC: stage 1 is off and gives Normal Write-Back memory. The
tables were moved to where QEMU has memory, and the pointers in them
changed to match. Addresses of the guest's pages are those of s2fuzz's
machine. QEMU has nothing there, and need not: only translations are
asked for.

Ask QEMU
--------
./start.sh asks for the result of reads, writes and fetches at each
entry, and prints answers that differ from s2fuzz's walk. It needs
{PROGRAM} 7.2 or later, or the one that {VARIABLE}
names, and the usual tools (timeout, dd, od, paste, awk).

Files
-----
  {QUESTIONS}  each question with its answer: PAR_EL1 for a read or
                 write (AT S12E1R, AT S12E1W), the syndrome or 0 for a
                 fetch. "known deviation": QEMU 7.2 differs, and the
                 Arm ARM agrees with s2fuzz.
  vmN.tables     the tables as text; s2fuzz hardware check reads them
  {TABLES}     their image, for {layout.TABLES:#x}
  code.bin       what runs at EL2, for {layout.CODE:#x}
  mailbox.bin, jobs.bin, questions.bin
                 what it is asked, for {layout.MAILBOX:#x}, {layout.JOBS:#x} and
                 {layout.QUESTIONS:#x}

With code of your own, load the tables alone, and write the registers:
  {PROGRAM} -machine virt,virtualization=on -cpu max \\
      -m {layout.RAM_SIZE >> 20}M -kernel YOURS \\
      -device loader,file={TABLES},addr={layout.TABLES:#x},force-raw=on
"""


def _registers(number: int, tables: Tables) -> str:
    """Return the registers of one VM."""
    vtcr, vttbr, hcr, _ = tables.job()
    setting = tables.setting
    pages, level = setting.granule.page_size >> 10, setting.start_level
    return f"""\
VM {number}: {pages}K pages, {setting.ia_bits}-bit guest addresses, walks start at level {level}
  VTTBR_EL2  {vttbr:#018x}
  VTCR_EL2   {vtcr:#018x}
  HCR_EL2    {hcr:#018x}

"""
