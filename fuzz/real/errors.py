# SPDX-License-Identifier: GPL-2.0-only
"""Errors of a real kernel, and of what it needs."""


class RealError(Exception):
    """The real kernel cannot be asked: something is missing, or QEMU died; one line that says what to do."""


class RealSilent(RealError):
    """The emulated machine does not answer, and was ended."""


class RealPanic(RealError):
    """The kernel panicked, and the emulated machine ended."""


class NoRootError(RealError):
    """It is not known where the tables of a VM begin."""


class UnplayableError(Exception):
    """A program that no user space can play on a real kernel; one line that says why."""
