# SPDX-License-Identifier: GPL-2.0-only
"""Features of a program: hashes of the facts of its runs, which guide a search for programs that do something new."""
