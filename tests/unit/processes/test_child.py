# SPDX-License-Identifier: GPL-2.0-only
"""Child processes: their input and output, their end, and the description of their end."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fuzz.processes.child import Child, cpu_seconds, end_text, signal_name
from fuzz.processes.starting import NoProcessError

from ..console import ROOT
from . import PATIENCE, interruptible, wait_for, wait_for_end, wait_for_work

ECHO = """\
import os, signal, sys, time
from fuzz.processes.parent import parent_of

parent, words = parent_of(sys.argv[1:])
parent.tell(" ".join([str(os.getsid(0) == os.getpid()), *words]).encode())
for line in sys.stdin:
    if line == "die\\n":
        os.kill(os.getpid(), signal.SIGSEGV)
    if line == "work\\n":
        while True:
            pass
    if line == "start\\n":
        import subprocess
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], close_fds=True)
        line = str(started.pid)
    parent.tell(line.strip().upper().encode() * (100_000 if line == "much\\n" else 1))
sys.exit(7)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Child:
    """Start a child that prints its arguments, then each line in capitals."""
    (tmp_path / "echo_of_test.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Child("the echo", "echo_of_test", "one", "two")


def test_lines_go_both_ways(child: Child) -> None:
    with child:
        assert child.line(PATIENCE) == b"True one two"
        child.send(b"hello")
        assert child.line(PATIENCE) == b"HELLO"
        child.send(b"much")
        assert child.line(PATIENCE) == b"MUCH" * 100_000
        child.send(b"end", last=True)
        assert child.line(PATIENCE) == b"END"
        assert child.line(PATIENCE) is None
        assert (child.wait(PATIENCE), child.running()) == (7, False)
        assert child.death() == "ended with exit code 7"


def test_the_death_of_a_child_is_described(child: Child) -> None:
    with child:
        child.send(b"die")
        assert child.line(PATIENCE) == b"True one two"
        assert child.line(PATIENCE) is None
        assert child.death() == "was killed by SIGSEGV"
        # Writing to a dead child raises no exception; the other end of the pipe reports the death.
        child.send(b"anybody?", last=True)


def test_waiting_has_a_time_limit(child: Child) -> None:
    with child:
        assert child.line(PATIENCE)
        assert child.wait(0.01) is None
        assert child.read(0.01) == []
        assert child.line(0.01) is None


def test_a_child_is_ended_with_its_own_children(child: Child) -> None:
    child.line(PATIENCE)
    child.send(b"start")
    started = int(child.line(PATIENCE) or b"0")
    child.send(b"last words")
    wait_for(lambda: child.wait(0) is None and select_ready(child), "its last words")
    child.kill()
    assert child.left() == [b"LAST WORDS"]
    wait_for_end(started)
    child.close()
    child.close()
    assert not Path(f"/proc/{child.pid}").exists()
    assert child.answers == -1


def select_ready(child: Child) -> bool:
    """Return whether there is something to read."""
    import select

    return bool(select.select([child.answers], [], [], 0)[0])


def test_the_cpu_time_of_a_child_is_measured(child: Child) -> None:
    with child:
        child.line(PATIENCE)
        before = cpu_seconds(child.pid)
        assert before is not None
        child.send(b"work")
        wait_for_work(lambda: [child.pid], 0.1)
        assert (cpu_seconds(child.pid) or 0.0) >= before + 0.09
    assert cpu_seconds(child.pid) is None


def test_a_child_that_cannot_be_started_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NoProcessError, match=r"the echo cannot be started: No such file or directory") as refused:
        Child("the echo", "echo_of_test")
    assert (refused.value.errno, refused.value.why) == (errno.ENOENT, "No such file or directory")
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_foreign_package_in_the_current_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: Child
) -> None:
    child.close()
    (tmp_path / "here" / "fuzz").mkdir(parents=True)
    (tmp_path / "here" / "fuzz" / "__init__.py").write_text("raise SystemExit('foreign')\n")
    monkeypatch.chdir(tmp_path / "here")
    with Child("the echo", "echo_of_test") as made:
        assert made.line(PATIENCE) == b"True"


START = """\
import sys, time
from fuzz.processes.child import Child

child = Child("the echo", "echo_of_test")
child.line(60)
try:
    print(child.pid, flush=True)
    time.sleep(1000)
except KeyboardInterrupt:
    child.send(b"still there", last=True)
    print(child.line(60), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_child_ends_with_its_parent(number: int, child: Child) -> None:
    """Check that the child ends with its parent, however the parent dies; Ctrl-C is handled by the parent."""
    child.close()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}
    with subprocess.Popen(
        interruptible([sys.executable, "-c", START]), env=environment, stdout=subprocess.PIPE, process_group=0
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # A terminal sends the signal to the whole process group.
        os.killpg(parent.pid, number)
        rest, _ = parent.communicate(timeout=PATIENCE)
        assert rest == (b"" if number == signal.SIGKILL else b"b'STILL THERE'\n")
    wait_for_end(pid)


@pytest.mark.parametrize(
    ("code", "text"), [(0, "ended with exit code 0"), (3, "ended with exit code 3"), (-11, "was killed by SIGSEGV")]
)
def test_descriptions_of_exit_statuses(code: int, text: str) -> None:
    assert end_text(code) == text


def test_signals_without_a_name() -> None:
    assert (signal_name(9), signal_name(70)) == ("SIGKILL", "signal 70")
    assert end_text(-70) == "was killed by signal 70"


def test_a_dead_child_says_nothing_more(child: Child) -> None:
    child.close()
    deadline = time.monotonic() + PATIENCE
    with Child("nothing", "echo_of_test", given=subprocess.DEVNULL) as made:
        assert made.line(PATIENCE) == b"True"
        assert made.read(PATIENCE) is None
    assert time.monotonic() < deadline
