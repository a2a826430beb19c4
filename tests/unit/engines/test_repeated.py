# SPDX-License-Identifier: GPL-2.0-only
"""Programs that are run twice: the events are the same, or it is an internal error."""

from itertools import count
from typing import Final

import pytest

import candidate
from candidate import Candidate
from fuzz.engines.repeated import NotRepeatableError, events_of, repeat
from fuzz.language.text import parse
from reference.kvm import kvm
from reference.mmu import Mmu
from reference.pgtable import Pgtable

PROGRAM: Final = parse(
    "s2fuzz 1\nvm\nslot a size=4M backing=thp log=on\ncpu0 write a+0\nlog a off\ncpu1 read a+8K\nhost age a+0 2M\n"
)
_calls: Final = count()


class Changing(Mmu):
    """Flushes at its first call, in whichever program."""

    def kvm_age_hva(self, kvm: kvm, start: int, end: int) -> int:
        if not next(_calls):
            self.kvm_flush_remote_tlbs(kvm)
        return super().kvm_age_hva(kvm, start, end)


def test_a_repeated_program_has_the_same_events() -> None:
    original = candidate.get("original")
    assert repeat(original, PROGRAM)
    events = events_of(original, PROGRAM)
    assert events is not None
    assert len(events) > 50
    assert [event[0] for event in events].count("outcome") == len(PROGRAM.operations)


def test_the_first_different_event_is_named() -> None:
    changing = Candidate("changing", Pgtable, Changing, "")
    with pytest.raises(
        NotRepeatableError, match=r"^event \d+ of changing is instruction \d+ 0, and .* when it is run again$"
    ):
        repeat(changing, PROGRAM)
