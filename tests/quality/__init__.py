# SPDX-License-Identifier: GPL-2.0-only
"""That hard things are found, and nothing else is."""
