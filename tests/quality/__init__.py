# SPDX-License-Identifier: GPL-2.0-only
"""Quality: hard things are found, and nothing else is."""
