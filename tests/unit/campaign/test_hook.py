# SPDX-License-Identifier: GPL-2.0-only
"""The command that runs for each new finding."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fuzz.campaign.store.findings import ToTell
from fuzz.campaign.store.log import Log
from fuzz.campaign.work.hook import Hook
from fuzz.judging.finding import Finding

from ..processes import wait_for, wait_for_end


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with closing(Log(tmp_path)) as made:
        yield made


def test_a_command_that_hangs_does_not_stop_the_next_ones(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the command hang at the first finding, in a process that it has started."""
    monkeypatch.setattr("fuzz.campaign.work.hook.MAX_SECONDS", 1000.0)
    pids, told = tmp_path / "pids", tmp_path / "told"
    hang = f"sleep 1000 & echo $$ $! >{pids}; wait"
    begun = list[str]()
    command = f'if [ "$S2FUZZ_SIGNATURE" = first ]; then {hang}; else echo "$S2FUZZ_SIGNATURE" >>{told}; fi'
    hook = Hook(command, tmp_path, log, lambda found: begun.append(found.finding.signature))
    for signature in ("first", "second", "third"):
        hook.found(ToTell(Finding("regression", signature, "why"), 1, "findings/x.s2"))
    hook.tick()
    wait_for(lambda: pids.exists() and pids.read_text().endswith("\n"), "the command that hangs")
    hook.tick()
    assert len(hook.waiting) == 2
    assert begun == ["first"]
    monkeypatch.setattr("fuzz.campaign.work.hook.MAX_SECONDS", 0.0)
    hook.tick()
    monkeypatch.setattr("fuzz.campaign.work.hook.MAX_SECONDS", 1000.0)
    for pid in pids.read_text().split():
        wait_for_end(int(pid))

    def all_told() -> bool:
        hook.tick()
        return told.exists() and told.read_text() == "second\nthird\n"

    wait_for(all_told, "the other findings")
    assert begun == ["first", "second", "third"]
    hook.close()
    assert "--on-finding: the command did not end within 0 s and was killed" in (tmp_path / "log").read_text()
