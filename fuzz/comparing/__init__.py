# SPDX-License-Identifier: GPL-2.0-only
"""The experiment of the series in the model: what many vCPUs at one block cost two versions."""
