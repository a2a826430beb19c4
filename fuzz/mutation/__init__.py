# SPDX-License-Identifier: GPL-2.0-only
"""The mutation score: small changes of the original's functions, and whether s2fuzz notices each.

A mutant is a candidate: a class that overrides the one function that is changed. None of it is compiled.
"""
