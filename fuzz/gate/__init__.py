# SPDX-License-Identifier: GPL-2.0-only
"""The gate: a fixed budget of programs, and an outcome for a CI that is byte-identical each time."""
