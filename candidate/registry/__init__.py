# SPDX-License-Identifier: GPL-2.0-only
"""Declarations of versions, and how they are found: in a folder of this package, or in a file from outside.

None of it is compiled.
"""
