# SPDX-License-Identifier: GPL-2.0-only
"""All schedules of a par block, judged."""
