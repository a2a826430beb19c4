# SPDX-License-Identifier: GPL-2.0-only
"""Programs, the engines that make them, and the judgement of their runs."""

from contextlib import suppress

from .distribution import ForeignPackageError, check_packages

# Modules of ours may be compiled: reference/ decides, before any is imported.
# Where it is not ours the command line says so.
with suppress(ForeignPackageError):
    check_packages()
    import reference as reference
