# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees, where there are some: the environment variable S2FUZZ_TREES names a folder of them."""
