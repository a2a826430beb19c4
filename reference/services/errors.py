# SPDX-License-Identifier: GPL-2.0-only
"""Error numbers of Linux on arm64, as kernel code returns them: negative. The pointer that names nothing."""

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

# Other memory than tables has negative indices as well.
NULL: Final = -1
