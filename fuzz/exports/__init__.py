# SPDX-License-Identifier: GPL-2.0-only
"""Runs of one version, in the formats of other tools."""
