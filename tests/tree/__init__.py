# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees as versions.

Tests that need a real tree take it from ``S2FUZZ_TREES``, a folder with sub-folders ``5.12.9``, ``6.1``,
``6.12`` and so on. If it is not set, they are skipped with a message.
"""
