# SPDX-License-Identifier: GPL-2.0-only
"""The memory of a process, as Linux reports it; a process that is gone has none."""

import re
from pathlib import Path

import pytest

from fuzz.processes.memory import resident_kib


@pytest.mark.parametrize(("peak", "key"), [(False, "VmRSS"), (True, "VmHWM")])
def test_memory_is_the_value_of_linux(peak: bool, key: str) -> None:
    found = re.search(rf"^{key}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    assert resident_kib("self", peak) == pytest.approx(int(found[1]), rel=0.1)


@pytest.mark.parametrize("peak", [False, True])
def test_a_process_that_is_gone_has_none(peak: bool) -> None:
    assert resident_kib("none", peak) == 0
