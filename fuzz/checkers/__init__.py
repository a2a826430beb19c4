# SPDX-License-Identifier: GPL-2.0-only
"""The checkers: one rule each, each judging one side alone."""

from .checker import Checker
from .progress import RunawayError
from .shadow import Shadow
from .suite import CheckerSuite
from .violation import Violation

__all__ = ["Checker", "CheckerSuite", "RunawayError", "Shadow", "Violation"]
