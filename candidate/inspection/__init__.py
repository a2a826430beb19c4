# SPDX-License-Identifier: GPL-2.0-only
"""The inspection of candidates: names what one overrides and adds, refuses one that is not what its author thinks.

Works on plain and on compiled classes. The latter have no code objects, so
that sources are read where a line or a call is asked for. None of it is compiled.
"""

from .inspecting import Changes, Inspection, RefusedCandidate

__all__ = ["Changes", "Inspection", "RefusedCandidate"]
