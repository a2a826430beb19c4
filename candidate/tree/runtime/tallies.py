# SPDX-License-Identifier: GPL-2.0-only
"""The counters of trees' code that no running process has any more, by library."""

from typing import Final

from ..lines.counts import CodeCounts

# Of processes that have ended.
ENDED: Final = CodeCounts()
# Of programs that count for nothing, for they are run again.
WITHDRAWN: Final = CodeCounts()
# Of programs that were not run, for it is known what they would have done.
SPARED: Final = CodeCounts()
