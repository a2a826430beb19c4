# SPDX-License-Identifier: GPL-2.0-only
"""The experiment of the series in the model: what it costs two versions when many vCPUs use one block."""
