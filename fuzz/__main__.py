# SPDX-License-Identifier: GPL-2.0-only
"""``python -m fuzz`` is the console script ``s2fuzz``."""

import sys

from .command_line.cli import main

sys.exit(main())
