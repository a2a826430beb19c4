# SPDX-License-Identifier: GPL-2.0-only
"""The exit codes of the console script; ``s2fuzz --help`` tells them to people."""

from typing import Final

# No regression and no divergence; some.
FINE: Final = 0
WORSE: Final = 1
# Usage or input that is refused, a candidate with a mistake in its Python included; output that cannot be written;
# nothing ran of that by which two kernel trees differ.
BAD_INPUT: Final = 2
# An exception in our own code.
OUR_MISTAKE: Final = 3
# No verdict: most programs need something that is not modelled, a kernel tree was edited meanwhile, a process could not
# be started or was killed from outside, memory ran out.
NO_VERDICT: Final = 4
# Ctrl-C, whatever had been found by then; SIGHUP and SIGTERM likewise.
INTERRUPTED: Final = 130
HUNG_UP: Final = 129
TERMINATED: Final = 143
# Whoever read the output has closed it.
PIPE_CLOSED: Final = 141
