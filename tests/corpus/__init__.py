# SPDX-License-Identifier: GPL-2.0-only
"""Tests of the programs of corpus/: each program is a test named after it."""
