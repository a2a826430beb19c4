# SPDX-License-Identifier: GPL-2.0-only
"""Error numbers of Linux on arm64, which kernel code returns negated, and the NULL pointer."""

from typing import Final

ENOENT: Final = 2
EIO: Final = 5
E2BIG: Final = 7
ENOEXEC: Final = 8
EAGAIN: Final = 11
ENOMEM: Final = 12
EFAULT: Final = 14
EEXIST: Final = 17
EINVAL: Final = 22
ERANGE: Final = 34
EHWPOISON: Final = 133
NAMES: Final = {
    ENOENT: "ENOENT",
    EIO: "EIO",
    E2BIG: "E2BIG",
    ENOEXEC: "ENOEXEC",
    EAGAIN: "EAGAIN",
    ENOMEM: "ENOMEM",
    EFAULT: "EFAULT",
    EEXIST: "EEXIST",
    EINVAL: "EINVAL",
    ERANGE: "ERANGE",
    EHWPOISON: "EHWPOISON",
}

# Indices of memory other than tables are negative as well.
NULL: Final = -1


def errno_text(ret: int) -> str:
    """Return a return value of kernel code as text: ``0``, ``-EAGAIN``, ``-71``."""
    return f"-{NAMES[-ret]}" if -ret in NAMES else str(ret)
