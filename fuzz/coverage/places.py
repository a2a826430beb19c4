# SPDX-License-Identifier: GPL-2.0-only
"""The lines that people ask for."""

from typing import Final

# Programs that a line of a page names.
NAMED: Final = 3


class LineError(Exception):
    """There is no such line; one line that says what is allowed."""
