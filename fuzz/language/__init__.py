# SPDX-License-Identifier: GPL-2.0-only
"""Programs: their parts, the rules that make one valid, their text and binary forms."""
