# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree as a version: its own C files, compiled for this machine and run."""
