# SPDX-License-Identifier: GPL-2.0-only
"""The build of what is hot with mypyc, into build/native/."""
