# SPDX-License-Identifier: GPL-2.0-only
"""The mutation score: small changes of the original's functions, and whether s2fuzz detects each.

A mutant is a candidate: a class that overrides the one changed function. None of this package is compiled.
"""
