# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU for the tests that need one."""

import shutil
from collections.abc import Iterator

import pytest

from fuzz.hardware.qemu import PROGRAM, Qemu
from fuzz.hardware.session import QemuSession


@pytest.fixture(scope="session")
def installed() -> str:
    """Return the path of QEMU; skip the test if there is none."""
    found = shutil.which(PROGRAM)
    if found is None:
        pytest.skip(f"no {PROGRAM} on PATH (Debian: apt-get install --no-install-recommends qemu-system-arm)")
    return found


@pytest.fixture(scope="module")
def session(installed: str) -> Iterator[QemuSession]:
    """Yield a session with a running QEMU."""
    with Qemu() as qemu:
        yield QemuSession(qemu)
