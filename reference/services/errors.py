# SPDX-License-Identifier: GPL-2.0-only
"""Error numbers of Linux on arm64, which kernel code returns negated, and the NULL pointer."""

from typing import Final

ENOENT: Final = 2
E2BIG: Final = 7
ENOEXEC: Final = 8
EAGAIN: Final = 11
ENOMEM: Final = 12
EFAULT: Final = 14
EEXIST: Final = 17
EINVAL: Final = 22
ERANGE: Final = 34
EHWPOISON: Final = 133

# Indices of memory other than tables are negative as well.
NULL: Final = -1
