# SPDX-License-Identifier: GPL-2.0-only
"""The counters of trees' code that no running process holds any more, by library."""

from ..lines.counts import CodeCounts


class Tallies:
    """Sums of counters.

    *ended*: of processes that have ended; *withdrawn*: of programs that do not count because they are run again;
    *unjudged*: of programs without a verdict: nothing was judged of the code that they ran; *spared*: of programs that
    did not run because their result was known in advance
    """

    def __init__(self) -> None:
        self.ended = CodeCounts()
        self.withdrawn = CodeCounts()
        self.unjudged = CodeCounts()
        self.spared = CodeCounts()
