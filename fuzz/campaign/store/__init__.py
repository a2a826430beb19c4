# SPDX-License-Identifier: GPL-2.0-only
"""The database of a campaign (settings, units, programs, findings) and the log beside it."""

from typing import Final

# Target time of a unit in seconds: long compared with a process start, short compared with what a kill may lose.
UNIT_SECONDS: Final = 15.0
