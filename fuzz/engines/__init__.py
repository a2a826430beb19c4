# SPDX-License-Identifier: GPL-2.0-only
"""Engines: they choose the programs that are judged, and note the findings."""
