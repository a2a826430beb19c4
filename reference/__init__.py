# SPDX-License-Identifier: GPL-2.0-only
"""The original kernel code as Python, and the machine it runs on."""
