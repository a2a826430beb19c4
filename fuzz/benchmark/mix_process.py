# SPDX-License-Identifier: GPL-2.0-only
"""The process that judges the mix in one form: a `fuzz.processes.child.Child`.

Its arguments are the number of programs and, optionally, two versions other than those of the mix. Its standard input
and its answers are those of `fuzz.benchmark.mix.serve`.
"""

import sys

from ..judging.collection import collect_rarely
from ..processes.parent import parent_of
from .mix import Mix, serve

if __name__ == "__main__":
    _parent, (_programs, *_versions) = parent_of(sys.argv[1:])
    _mix = Mix(int(_programs), *_versions)
    collect_rarely()
    serve(_mix, lambda line: _parent.tell(line.encode()))
