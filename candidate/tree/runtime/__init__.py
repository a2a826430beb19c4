# SPDX-License-Identifier: GPL-2.0-only
"""Runs a compiled tree in a process of its own, and turns its events into those of the ports."""
