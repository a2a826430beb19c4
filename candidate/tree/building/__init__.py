# SPDX-License-Identifier: GPL-2.0-only
"""The parts of `candidate.tree.library`: reading a tree, headers, compilers, symbols, the cache."""
