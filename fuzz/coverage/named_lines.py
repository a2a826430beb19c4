# SPDX-License-Identifier: GPL-2.0-only
"""Lines that the user asks about."""

from typing import Final

# Number of programs named for each line of a page.
NAMED: Final = 3


class LineError(Exception):
    """There is no such line; one line that gives the allowed values."""
