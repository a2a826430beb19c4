# SPDX-License-Identifier: GPL-2.0-only
"""Exports of a run of one version to the formats of other tools."""
