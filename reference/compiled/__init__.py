# SPDX-License-Identifier: GPL-2.0-only
"""The choice between plain Python and compiled modules. Standard library only; never compiled itself."""
