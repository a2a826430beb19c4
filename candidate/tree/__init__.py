# SPDX-License-Identifier: GPL-2.0-only
"""A kernel tree's stage-2 code as it is, compiled for this machine: built by `build`, run by `runtime`."""
