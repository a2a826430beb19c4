# SPDX-License-Identifier: GPL-2.0-only
"""Helpers of the tests: signals of processes, and waiting."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..processes import interruptible, state, wait_for, wait_for_end, wait_for_work, work_of

# A shell ignores these signals for a background job, and so does nohup.
IGNORING = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.execv(sys.argv[1], sys.argv[1:])
"""
TELL = """\
import signal
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.getsignal(signal.SIGHUP) == signal.SIG_DFL,
      signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set())
"""


@pytest.mark.parametrize(("wrap", "said"), [(list, "False False False\n"), (interruptible, "True True True\n")])
def test_signals_are_as_usual_however_the_tests_were_started(wrap: object, said: str) -> None:
    assert callable(wrap)
    command = [sys.executable, "-c", IGNORING, *wrap([sys.executable, "-c", TELL])]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == said


def test_interruptible_keeps_the_process() -> None:
    with subprocess.Popen(interruptible(["/bin/sh", "-c", "echo $$"]), stdout=subprocess.PIPE, text=True) as child:
        assert child.communicate()[0] == f"{child.pid}\n"


def test_waiting_ends_when_the_condition_holds() -> None:
    left = [0, 0, 1]
    wait_for(lambda: left.pop(0), "something")
    with pytest.raises(AssertionError, match="a miracle"):
        wait_for(lambda: False, "a miracle", 0.0)


def test_waiting_for_work_and_for_the_end_of_a_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        before = work_of([busy.pid])
        wait_for_work(lambda: [busy.pid], 0.1)
        assert work_of([busy.pid]) >= before + 0.09
        busy.send_signal(signal.SIGSTOP)
        wait_for(lambda: state(busy.pid) == "T", "a process that is stopped")
        busy.kill()
        wait_for_end(busy.pid)
    assert not Path(f"/proc/{busy.pid}").exists()
    assert work_of([busy.pid]) == 0
    wait_for_end(busy.pid)
