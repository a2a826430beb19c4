# SPDX-License-Identifier: GPL-2.0-only
"""The gate: a fixed budget of programs, and an outcome that a CI reads, the same to the byte each time."""
