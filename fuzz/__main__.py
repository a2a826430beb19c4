# SPDX-License-Identifier: GPL-2.0-only
"""``python -m fuzz`` is the console script ``s2fuzz``."""

import sys

from .command_line.cli import main

code = main()
# Of a KeyboardInterrupt that left a string under exec(), which is how dataclasses are made, `python -m` remembers that
# nobody handled it, and dies by SIGINT instead of ending with a code. The next string makes it forget.
exec("")
sys.exit(code)
