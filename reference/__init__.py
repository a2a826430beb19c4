# SPDX-License-Identifier: GPL-2.0-only
"""The original kernel code as Python, and the machine it runs on."""

# Decides in which form the modules imported after it run.
from .compiled import choice as choice
