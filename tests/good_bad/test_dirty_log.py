# SPDX-License-Identifier: GPL-2.0-only
"""dirty-log: guest writes to a logged slot are in the next log.

Tables that let a write go unreported are a separate violation, which comes
first. These cases only require that the missed write itself is found.
"""

import pytest

import candidate
from fuzz.checkers.dirty_log import DirtyLog, is_set, ranges
from fuzz.execution.executor import Executor
from fuzz.language.text import parse
from reference.kvm import kvm, kvm_memory_slot
from reference.mmu import Mmu

from .case import ORIGINAL, Case, broken, each, violations


class WriteProtectWithoutFlush(Mmu):
    def kvm_flush_remote_tlbs(self, kvm: kvm) -> None:
        pass


class CollectWithoutWriteProtect(Mmu):
    def kvm_arch_mmu_enable_log_dirty_pt_masked(
        self, kvm: kvm, slot: kvm_memory_slot, gfn_offset: int, mask: int
    ) -> None:
        pass


class IgnoresLogging(Mmu):
    def memslot_is_logging(self, memslot: kvm_memory_slot) -> bool:
        return False


GET = "dirty-log: kvm_vm_ioctl_get_dirty_log: write through "
WRITE = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\ncpu0 write a+8K\n"
MANUAL = WRITE.replace("fwb=on", "fwb=on manual=on")

CASES = (
    Case(
        "a page that write-protection missed",
        GET + "a writable leaf not reported L3",
        ORIGINAL,
        "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\n"
        "cpu0 write a+2044K\nlog a on\ncpu0 write a+2044K\nlog a get\n",
        candidate.get("v5.12.9"),
    ),
    Case(
        "a TLB entry from before logging",
        GET + "a stale TLB entry not reported L3",
        broken(mmu=WriteProtectWithoutFlush),
        "vm cpus=1 fwb=on\nslot a size=8K backing=anon\ncpu0 write a+4K\nlog a on\ncpu0 write a+4K\nlog a get\n",
    ),
    Case(
        "a TLB entry from before the log was collected",
        GET + "a stale TLB entry not reported L3",
        broken(mmu=WriteProtectWithoutFlush),
        WRITE + "log a get\ncpu0 write a+8K\nlog a get\n",
    ),
    Case(
        "a page that a block made writable",
        GET + "a writable leaf not reported L2",
        broken(mmu=IgnoresLogging),
        WRITE + "cpu0 write a+4K\nlog a get\n",
    ),
    Case(
        "written again after the collection",
        GET + "a writable leaf not reported L3",
        broken(mmu=CollectWithoutWriteProtect),
        WRITE + "log a get\ncpu0 write a+8K\nlog a get\n",
    ),
    Case(
        "written again after the clear",
        GET + "a writable leaf not reported L3",
        broken(mmu=CollectWithoutWriteProtect),
        MANUAL + "log a get\nlog a clear 0 256K\ncpu0 write a+8K\nlog a get\n",
    ),
    Case(
        "the second VM",
        GET + "a stale TLB entry not reported L3",
        broken(mmu=WriteProtectWithoutFlush),
        "vm cpus=1 vms=2 fwb=on\nslot a size=8K backing=anon log=on\nslot b size=8K backing=anon vm=1\n"
        "cpu1 write b+4K\nlog b on\ncpu1 write b+4K\nlog a get\nlog b get\n",
    ),
)


@each(CASES)
def test_dirty_log_good(case: Case) -> None:
    assert case.all_good() == []


@each(CASES)
def test_dirty_log_bad(case: Case) -> None:
    assert case.signature in [violation.signature for violation in violations(case.bad, case.text)]


# The end of the reason of each case: the step that left the write out.
CAUSES = {
    "a page that write-protection missed": "the log began in operation 2, and left its leaf writable",
    "a TLB entry from before logging": "missing from the log of slot a",
    "a page that a block made writable": (
        "nothing has marked it dirty since its bit was last taken, or since the log began"
    ),
    "written again after the collection": "its bit was taken in operation 2, and its leaf left writable",
    "written again after the clear": "its bit was taken in operation 3, and its leaf left writable",
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_step_that_left_a_write_out_is_named(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    found = next(each for each in violations(case.bad, case.text) if each.signature == case.signature)
    assert found.reason.endswith(CAUSES[name])


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("a page that write-protection missed", "; the log has begun, and the leaf was left as it is"),
        ("written again after the collection", "; its bit was taken, and the leaf was left as it is"),
        # The fault has mapped it.
        ("a page that a block made writable", " (page 0x40000000)"),
    ],
)
def test_the_step_that_left_a_leaf_writable_is_named(name: str, cause: str) -> None:
    case = next(case for case in CASES if case.name == name)
    found = next(each for each in violations(case.bad, case.text) if "writable and not in the dirty" in each.signature)
    assert found.reason.endswith(cause)


def test_a_moved_slot_has_no_cause() -> None:
    """Marks have the old addresses of the pages."""
    bad = broken(mmu=IgnoresLogging)
    text = "vm cpus=1 fwb=on\nslot a size=2M backing=thp log=on\nslot a move 3G\ncpu0 write a+8K\ncpu0 write a+4K\n"
    found = [each for each in violations(bad, f"{text}log a get\n") if each.checker == "dirty-log"]
    assert [each.reason.endswith("missing from the log of slot a") for each in found] == [True]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(WRITE + "log a off\ncpu0 write a+4K\nlog a on\nlog a get\n", id="turned off and on"),
        pytest.param(WRITE + "slot a delete\nslot a create log=on\nlog a get\n", id="made anew"),
        pytest.param(WRITE + "slot a move 3G\nlog a get\n", id="moved"),
        pytest.param(MANUAL + "log a get\ncpu0 write a+8K\nlog a clear 0 2M\nlog a get\n", id="before the clear"),
        pytest.param(MANUAL + "cpu0 write a+1M\nlog a get\nlog a clear 0 256K\nlog a get\n", id="cleared in part"),
    ],
)
def test_no_false_alarm(text: str) -> None:
    assert violations(ORIGINAL, text) == []


def test_a_moved_slot_keeps_its_dirty_pages() -> None:
    text = "vm cpus=1 fwb=on\nslot a ipa=0x40001000 size=2M backing=anon\ncpu0 write a+2044K\nlog a on\n"
    text += "cpu0 write a+2044K\nslot a move 3G\nlog a get\n"
    found = [violation for violation in violations(ORIGINAL, text) if violation.checker == "dirty-log"]
    assert [sorted(violation.pages) for violation in found] == [[0xC01FF000]]


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        (WRITE + "log a get\nlog a get\n", 0),
        # All 512 pages start dirty; the guest wrote one.
        ("vm cpus=1 manual=set\nslot a size=2M backing=thp log=on\ncpu0 write a+4K\nlog a get\n", 511),
        # A page is reported until it is cleared; this one was written after the last clear.
        (MANUAL + "cpu0 write a+12K\nlog a get\nlog a get\n", 0),
    ],
)
def test_over_reporting_is_counted(text: str, pages: int) -> None:
    program = parse("s2fuzz 1\n" + text)
    executor = Executor(ORIGINAL, program)
    assert executor.create() == []
    for at in range(len(program.operations)):
        assert executor.step(at)[1] == []
    checkers = [checker for checker in executor.checkers.all if isinstance(checker, DirtyLog)]
    assert [checker.over_reported for checker in checkers] == [pages]


def test_bits_and_ranges() -> None:
    assert [number for number in range(-64, 200) if is_set([1, 1 << 63 | 6], number)] == [0, 65, 66, 127]
    assert ranges([0x1000, 0x2000, 0x4000], 0x1000) == "[0x1000, 0x3000), [0x4000, 0x5000)"
