# SPDX-License-Identifier: GPL-2.0-only
"""The experiment of the patch series in the model: the cost for two versions when many vCPUs use one block."""
