# SPDX-License-Identifier: GPL-2.0-only
"""The exit codes of the console script; ``s2fuzz --help`` describes them to users."""

from typing import Final

# No regression and no divergence; at least one of them.
FINE: Final = 0
WORSE: Final = 1
# Refused usage or input, including a candidate with a Python mistake; output that cannot be written;
# no run reached the code in which two kernel trees differ.
BAD_INPUT: Final = 2
# An exception in our own code.
OUR_MISTAKE: Final = 3
# No verdict: most programs need something that is not modelled, a kernel tree was edited meanwhile, a process could
# not be started or was killed from outside, or memory ran out.
NO_VERDICT: Final = 4
# Ctrl-C, whatever was found before it; likewise SIGHUP, and SIGTERM with 143 (`fuzz.processes.signals.exit_code`).
INTERRUPTED: Final = 130
HUNG_UP: Final = 129
# The reader of the output closed it.
PIPE_CLOSED: Final = 141
