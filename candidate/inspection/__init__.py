# SPDX-License-Identifier: GPL-2.0-only
"""The inspection of candidates: lists overridden and added names, and refuses a candidate its author got wrong.

Works on plain and on compiled classes. Compiled classes have no code objects, so
lines and calls are read from the sources. None of this package is compiled.
"""

from .inspecting import Changes, Inspection

__all__ = ["Changes", "Inspection"]
