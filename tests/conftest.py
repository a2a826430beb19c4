# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures for all tests."""

import os

from hypothesis import HealthCheck, settings

# A loaded machine takes its time: that says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Traces are as wide as the terminal; a worker of pytest-xdist is told that of the whole run.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
