# SPDX-License-Identifier: GPL-2.0-only
"""Engines: they choose the programs to be judged and record the findings."""
