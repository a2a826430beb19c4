# SPDX-License-Identifier: GPL-2.0-only
"""Real kernels for the tests that need one."""

import os
import shutil
from collections.abc import Iterator
from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.hardware.qemu import PROGRAM, VARIABLE
from fuzz.real import initrd, kernels
from fuzz.real.kernels import RealKernel
from fuzz.real.model import model_for
from fuzz.real.session import RealSession

# Kernel series. The tests use one available kernel of each.
SERIES: Final = ("7.3", "6.12", "6.1")


def missing() -> str:
    """Return what this machine lacks; "" if nothing."""
    if shutil.which(os.environ.get(VARIABLE) or PROGRAM) is None:
        return f"no {PROGRAM} on PATH (Debian: qemu-system-arm)"
    if shutil.which(os.environ.get(initrd.VARIABLE) or initrd.COMPILER) is None:
        return f"no {initrd.COMPILER} on PATH (Debian: gcc-aarch64-linux-gnu, libc6-dev-arm64-cross)"
    return "" if kernels.fetched() else "no kernel at hand (`make real` fetches them)"


@pytest.fixture(scope="session", params=SERIES)
def kernel(request: pytest.FixtureRequest) -> RealKernel:
    """Return a kernel of each series."""
    lack = missing()
    if lack:
        pytest.skip(lack)
    found = [each for each in kernels.fetched() if each.name.startswith(f"{request.param}.")]
    if not found:
        pytest.skip(f"no kernel {request.param} at hand (`make real` fetches it)")
    return found[0]


@pytest.fixture
def tree(kernel: RealKernel) -> Candidate:
    """Return the tree of the kernel's version, for behaviour that differs from the ports."""
    name = model_for(kernel.name)
    if not name.startswith("tree:"):
        pytest.skip("no tree of this version (S2FUZZ_TREES names a folder of trees)")
    return candidate.get(name)


@pytest.fixture(scope="session")
def newest() -> RealKernel:
    """Return the newest available kernel."""
    lack = missing()
    if lack:
        pytest.skip(lack)
    return kernels.fetched()[0]


@pytest.fixture(scope="module")
def machine(kernel: RealKernel) -> Iterator[RealSession]:
    """Yield a machine with a kernel of each series, which plays one program after another."""
    with RealSession(kernel) as session:
        yield session
