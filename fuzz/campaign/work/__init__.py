# SPDX-License-Identifier: GPL-2.0-only
"""The work of a campaign: a plan of units, the pool that does them, and the coordinator that keeps it busy."""
