# SPDX-License-Identifier: GPL-2.0-only
"""The database of a campaign (settings, units, programs, findings) and the log beside it."""
