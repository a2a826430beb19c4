# SPDX-License-Identifier: GPL-2.0-only
"""Python's garbage collector, set for processes that judge programs."""

import gc
from typing import Final

# Objects made and not freed between two collections.
CYCLES: Final = 50_000


def collect_rarely() -> None:
    """Let the cycles of many programs come together before Python looks for them: few leave any.

    By default it looks, many times a program, through tables that are all in use.
    """
    gc.freeze()
    gc.set_threshold(CYCLES, 20, 20)
