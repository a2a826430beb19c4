# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are not ours: they end with this process, and run as if a shell had started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.processes.tied import start_tied

from ..console import ROOT
from . import PATIENCE, state, wait_for_end

SLEEP = ["sleep", "1000"]
NULL = subprocess.DEVNULL


def fields(pid: int) -> dict[str, str]:
    """Return the fields of ``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_program_runs_in_a_group_of_its_own_with_default_signals() -> None:
    with start_tied(SLEEP, NULL, NULL, NULL) as process:
        try:
            assert fields(process.pid)["Name"] == "sleep"
            assert os.getpgid(process.pid) == process.pid
            ignored = int(fields(process.pid)["SigIgn"], 16)
            assert not ignored >> (signal.SIGPIPE - 1) & 1
            assert not ignored >> (signal.SIGXFSZ - 1) & 1
        finally:
            process.kill()


def test_it_has_the_descriptors_that_were_passed_and_no_others() -> None:
    # The listing itself uses the lowest free descriptor.
    code = "import os, sys; os.write(int(sys.argv[1]), ' '.join(os.listdir('/proc/self/fd')).encode() + os.read(0, 9))"
    read, write = os.pipe()
    with open(read, "rb") as answer:
        try:
            process = start_tied([sys.executable, "-c", code, str(write)], subprocess.PIPE, NULL, NULL, (write,))
        finally:
            os.close(write)
        process.communicate(b" said", timeout=PATIENCE)
        *numbers, said = answer.read().split()
    assert said == b"said"
    assert set(map(int, numbers)) == {0, 1, 2, 3, write} | ({4} if write == 3 else set())


def test_a_program_that_cannot_be_executed(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError) as missing:
        start_tied([str(tmp_path / "none")], subprocess.PIPE, subprocess.PIPE, NULL)
    assert missing.value.filename == str(tmp_path / "none")
    (tmp_path / "text").write_text("no program")
    with pytest.raises(PermissionError):
        start_tied([str(tmp_path / "text")], NULL, NULL, NULL)
    assert set(os.listdir("/proc/self/fd")) == before


def test_it_is_killed_with_its_parent() -> None:
    code = "import sys; from fuzz.processes.tied import start_tied as start\n"
    code += "print(start(['sleep', '1000'], -3, -3, -3).pid, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert state(pid) != "Z"
        parent.kill()
    wait_for_end(pid)
