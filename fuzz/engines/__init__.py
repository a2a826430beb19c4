# SPDX-License-Identifier: GPL-2.0-only
"""What chooses the programs that are judged, and notes what they show."""
