# SPDX-License-Identifier: GPL-2.0-only
"""The counters of trees' code that no running process holds any more, by library."""

from typing import Final

from ..lines.counts import CodeCounts

# Of processes that have ended.
ENDED: Final = CodeCounts()
# Of programs that do not count because they are run again.
WITHDRAWN: Final = CodeCounts()
# Of programs without a verdict: nothing was judged of the code that they ran.
UNJUDGED: Final = CodeCounts()
# Of programs that did not run because their result was known in advance.
SPARED: Final = CodeCounts()
