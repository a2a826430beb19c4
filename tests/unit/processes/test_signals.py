# SPDX-License-Identifier: GPL-2.0-only
"""A signal that ends a command interrupts the command, but never a running import or finalizer."""

import importlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuzz.processes import signals
from fuzz.processes.signals import exit_code, in_order

# Each module sends a signal in the middle of an action that must still complete.
MODULES = {
    "a module": "import signal\nsignal.raise_signal({number})\nWHOLE = True\n",
    "a class that is made": """\
import signal

class Field:
    def __set_name__(self, owner, name):
        signal.raise_signal({number})

class Section:
    rows = Field()

WHOLE = True
""",
    "a finalizer": """\
import signal

WHOLE = False

class Ended:
    def __del__(self):
        global WHOLE
        signal.raise_signal({number})
        WHOLE = True

def end():
    Ended()
""",
}
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def usual() -> Iterator[None]:
    """Give signals their default handlers, however the tests were started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def work(name: str) -> None:
    """Import a module, call its function if it has one, and continue until a signal ends this."""
    with in_order():
        module = importlib.import_module(name)
        if hasattr(module, "end"):
            module.end()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.mark.usefixtures("usual")
@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("what", MODULES)
def test_a_running_import_or_finalizer_completes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, what: str
) -> None:
    name = f"interrupted_{number.name}_{what.replace(' ', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULES[what].format(number=int(number)))
    monkeypatch.syspath_prepend(tmp_path)
    # Enough time for a loaded machine.
    monkeypatch.setattr(signals, "_PATIENCE", 60.0)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        work(name)
    assert sys.modules[name].WHOLE
    assert exit_code() == 128 + number
    assert signal.getsignal(number) == before
    # The signal is not sent again, either.
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.usefixtures("usual")
def test_other_work_ends_at_once() -> None:
    done = []

    def send() -> None:
        with in_order():
            signal.raise_signal(signal.SIGTERM)
            done.append("more")

    with pytest.raises(KeyboardInterrupt):
        send()
    assert not done


@pytest.mark.usefixtures("usual")
def test_the_same_signal_twice_in_a_row_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with in_order():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        # Enough time for a loaded machine.
        monkeypatch.setattr(signals, "_SAME", 60.0)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        monkeypatch.setattr(signals, "_SAME", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    with in_order(), pytest.raises(KeyboardInterrupt):
        # The signal of another command in the same process.
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("usual")
def test_signals_that_repeat_in_an_import_do_not_renew_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that does not end is interrupted after `signals._PATIENCE` seconds, even if Ctrl-C is held."""
    now = [0.0]

    def repeat() -> None:
        for _ in range(8):
            now[0] += 0.6
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(signals, "time", SimpleNamespace(monotonic=lambda: now[0]))
    # The alarm itself would make the number of attempts depend on the load.
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    (tmp_path / "endless_import.py").write_text(f"from {__name__} import during\nduring()\n")
    monkeypatch.setattr(sys.modules[__name__], "during", repeat, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with in_order(), pytest.raises(KeyboardInterrupt):
        importlib.import_module("endless_import")
    assert now[0] < 4.0
