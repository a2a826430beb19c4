# SPDX-License-Identifier: GPL-2.0-only
"""Programs, the engines that make them, and the judgement of their runs."""
