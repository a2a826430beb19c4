# SPDX-License-Identifier: GPL-2.0-only
"""``python -m fuzz`` is the console script ``s2fuzz``."""

import sys

from .command_line.cli import main

code = main()
# When a KeyboardInterrupt leaves a string run by exec() (dataclasses are made that way), `python -m` remembers it as
# unhandled and dies by SIGINT instead of ending with an exit code. Running another string clears that state.
exec("")
sys.exit(code)
