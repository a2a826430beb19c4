# SPDX-License-Identifier: GPL-2.0-only
"""Programs, the engines that make them, and the judgement of their runs."""

from . import loading

loading.heed_interrupt()

from contextlib import suppress  # noqa: E402

from .distribution import ForeignPackageError, check_packages  # noqa: E402

# Modules of ours may be compiled: reference/ decides, before any is imported.
# Where it is not ours the command line says so.
with suppress(ForeignPackageError):
    check_packages()
    import reference as reference
