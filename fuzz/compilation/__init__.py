# SPDX-License-Identifier: GPL-2.0-only
"""The build of the hot modules with mypyc, into build/native/."""
