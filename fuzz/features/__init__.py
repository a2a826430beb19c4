# SPDX-License-Identifier: GPL-2.0-only
"""Features of a program: hashes of what its runs did, which guide a search for programs that do something new."""
