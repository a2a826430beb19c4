# SPDX-License-Identifier: GPL-2.0-only
"""Programs: what they are made of, which are valid, and their text and binary forms."""
