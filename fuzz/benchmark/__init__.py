# SPDX-License-Identifier: GPL-2.0-only
"""How fast programs are judged, where the time goes, and whether memory grows."""
