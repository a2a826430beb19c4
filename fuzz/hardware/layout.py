# SPDX-License-Identifier: GPL-2.0-only
"""The layout of QEMU's memory; payload.s uses the same layout."""

from typing import Final

# RAM of the machine "virt"; its first MiB holds the device tree.
RAM: Final = 0x4000_0000
RAM_SIZE: Final = 128 << 20
CODE: Final = RAM + (2 << 20)
# Holds the number of jobs, and the addresses of jobs, questions and answers.
MAILBOX: Final = CODE + (64 << 10)
JOBS: Final = RAM + (4 << 20)
QUESTIONS: Final = RAM + (8 << 20)
ANSWERS: Final = RAM + (24 << 20)
# Translation tables, up to the end of memory: a table pointer beyond them finds no memory.
TABLES_SIZE: Final = 16 << 20
TABLES: Final = RAM + RAM_SIZE - TABLES_SIZE
# From this address on the machine has nothing; below it there are memory and devices that our walk does not know.
FREE: Final = 1 << 31

# VTCR_EL2, VTTBR_EL2, HCR_EL2, number of questions.
JOB_WORDS: Final = 4
MAX_JOBS: Final = (QUESTIONS - JOBS) // (8 * JOB_WORDS)
MAX_QUESTIONS: Final = (ANSWERS - QUESTIONS) // 8

# Position of the kind of a question within the question, above the address.
ASK_SHIFT: Final = 60
