# SPDX-License-Identifier: GPL-2.0-only
"""Programs, the engines that generate them, and the judgement of their runs."""

from . import loading

loading.heed_interrupt()

from contextlib import suppress  # noqa: E402

from .distribution import ForeignPackageError, check_packages  # noqa: E402

# Modules of ours may be compiled: reference/ chooses the form before any of them is imported.
# If another project's package shadows one of ours, the command line reports it.
with suppress(ForeignPackageError):
    check_packages()
    import reference as reference
