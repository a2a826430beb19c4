# SPDX-License-Identifier: GPL-2.0-only
"""Pages that depend on the order in a par block: excused signals, results that are not compared."""

from typing import Final

import pytest

from candidate import Candidate
from fuzz.sides.outcome import Outcome
from reference.kvm import kvm_memory_slot, kvm_vcpu
from reference.mmu import Mmu
from reference.pgtable import Pgtable

from ..block_run import Run

HEAD: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon\nslot b ipa=4G size=2M backing=anon\n"
POISON: Final = "par\ncpu0 write b+4K\nhost0 poison a+1M\nend\n"
WRITES: Final = "par\ncpu0 write a+4K\nhost0 write a+4K 8K\nend\n"
SIGNAL: Final = "contract: kvm_handle_guest_abort: write of memory answered with a signal"


class Signals(Mmu):
    """Sends a signal for each page while other actors run."""

    def user_mem_abort(
        self, vcpu: kvm_vcpu, fault_ipa: int, memslot: kvm_memory_slot, hva: int, fault_status: int
    ) -> int:
        if self.k.turns is None:
            return super().user_mem_abort(vcpu, fault_ipa, memslot, hva, fault_status)
        self.h.send_sig_mceerr(hva, 12)
        return 0


SIGNALS: Final = Candidate("signals", Pgtable, Signals, "signals for pages that are there")


@pytest.mark.parametrize(
    ("block", "wrong"),
    [
        ("cpu0 write b+4K\nhost0 poison a+1M", True),
        ("cpu0 write a+4K\nhost0 poison a+1M", True),
        ("cpu0 write a+4K\nhost0 unmap a+1M 1M", True),
        ("cpu0 write a+4K\nuser0 slot b delete", True),
        ("cpu0 write a+1M\nhost0 poison a+1M", False),
        ("cpu0 write a+4K\nhost0 unmap a+0 1M", False),
    ],
)
def test_a_signal_is_excused_for_removed_pages(block: str, wrong: bool) -> None:
    run = Run(SIGNALS, HEAD + f"par\n{block}\nend\n")
    assert run.outcomes[0].parts[0].status == "sigbus"
    assert [each.signature for each in run.violations] == [SIGNAL] * wrong
    original = Run("original", HEAD + f"par\n{block}\nend\n").outcomes[0]
    assert original.same_as(run.outcomes[0]) != wrong


def test_a_failed_page_may_be_replaced_meanwhile() -> None:
    text = HEAD + "host poison a+0\npar\ncpu0 write a+0\nhost0 discard a+0 4K\nend\n"
    run = Run("original", text)
    assert (run.violations, run.outcomes[1].parts[0].status) == ([], "sigbus")


def last(text: str) -> Outcome:
    """Return the outcome of the last operation of a program on the original."""
    run = Run("original", HEAD + text)
    assert run.violations == []
    return run.outcomes[-1]


@pytest.mark.parametrize("before", [True, False])
def test_a_slot_with_a_failed_page_may_move_to_the_address_of_an_access(before: bool) -> None:
    """Move the slot away in the middle of the fault, and one with failed memory to its place."""
    poison = "host poison b+0\n" if before else ""
    within = "" if before else "host0 poison b+0\n"
    moves = "cpu0 write a+0\nuser0 slot a move 2G\nuser0 slot b move 1G\n"
    slots = "slot a ipa=1G size=4K backing=anon\nslot b ipa=4G size=4K backing=anon\n"
    block = f"par\n{moves}{within}switch cpu0 to user0 after fault 1\nend\n"
    run = Run("original", f"s2fuzz 1\nvm cpus=1\n{slots}cpu0 read b+0\n{poison}{block}")
    assert run.outcomes[-1].parts[0].status == "sigbus"
    assert run.violations == []


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        (WRITES + "cpu1 read a+4K\n", False),
        # One actor alone has written this page.
        (WRITES + "cpu1 read a+8K\n", True),
        (WRITES + "cpu1 read b+4K\n", True),
        (WRITES + "cpu0 write a+4K\ncpu1 read a+4K\n", True),
        (WRITES + "host write a+0 16K\ncpu1 read a+4K\n", True),
        (WRITES + "host write a+8K 8K\ncpu1 read a+4K\n", False),
        (WRITES + "host discard a+0 16K\ncpu1 read a+4K\n", True),
        (POISON + "cpu1 read b+4K\n", True),
        ("par\ncpu0 write a+4K\ncpu1 write a+4K\nend\ncpu1 read a+4K\n", False),
        ("par\ncpu0 write a+4K\nuser0 slot b move 6G\nend\ncpu1 read a+4K\n", True),
        ("par\ncpu0 write a+4K\nuser0 slot a move 8G\nend\ncpu1 read a+4K\n", False),
    ],
)
def test_contents_are_not_compared_until_they_are_settled(text: str, compared: bool) -> None:
    outcome = last(text)
    assert (outcome.status, outcome.predictable) == ("ok", compared)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        (POISON + "cpu1 read a+1M\n", False),
        (POISON + "cpu1 read a+1028K\n", True),
        (POISON + "cpu1 read b+4K\n", True),
        (POISON + "host discard a+1M 4K\ncpu1 read a+1M\n", True),
        (POISON + "host unmap a+1M 4K\ncpu1 read a+1M\n", True),
        (POISON + "host write a+1M 4K\ncpu1 read a+1M\n", False),
        # Nothing is mapped after the block, whatever the order.
        ("par\ncpu0 write a+0\nhost0 unmap a+0 4K\nend\ncpu1 read a+0\n", True),
    ],
)
def test_an_access_is_not_compared_until_its_page_is_settled(text: str, compared: bool) -> None:
    assert (last(text).either == ()) == compared


@pytest.mark.parametrize(("page", "compared"), [("a+1M", False), ("a+4K", True)])
def test_logs_are_compared_if_no_written_page_may_have_failed(page: str, compared: bool) -> None:
    text = f"log a on\npar\ncpu0 write {page}\nhost0 poison a+1M\nend\nlog a get\n"
    assert last(text).predictable == compared
