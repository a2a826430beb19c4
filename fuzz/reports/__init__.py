# SPDX-License-Identifier: GPL-2.0-only
"""What is told to people and to other programs: reports, traces, JSON."""
