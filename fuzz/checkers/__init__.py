# SPDX-License-Identifier: GPL-2.0-only
"""The checkers: one rule each, each judging one side alone."""

from .base import Checker, Outcome, Violation
from .every import Checkers
from .progress import Runaway
from .shadow import Shadow

__all__ = ["Checker", "Checkers", "Outcome", "Runaway", "Shadow", "Violation"]
