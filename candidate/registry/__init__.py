# SPDX-License-Identifier: GPL-2.0-only
"""Declarations of versions, and the code that finds them: in a folder of this package, or in an outside file.

None of this package is compiled.
"""
