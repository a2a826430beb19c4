# SPDX-License-Identifier: GPL-2.0-only
"""What `candidate.tree.build` is made of: reading a tree, headers, compilers, symbols, the cache."""
