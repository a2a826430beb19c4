# SPDX-License-Identifier: GPL-2.0-only
"""Errors of a real kernel and of its prerequisites."""


class RealError(Exception):
    """The real kernel cannot be used: something is missing, or QEMU died; one line that gives the remedy."""


class RealSilentError(RealError):
    """The emulated machine did not answer and was killed."""


class RealPanicError(RealError):
    """The kernel panicked, which ended the emulated machine."""


class NoRootError(RealError):
    """The root of a VM's tables is unknown."""


class UnplayableError(Exception):
    """A program that no user space can play on a real kernel; one line that gives the reason."""
