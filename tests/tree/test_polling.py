# SPDX-License-Identifier: GPL-2.0-only
"""Code that polls: cpu_relax() and cond_resched() return even if no other actor can run; an endless loop is found."""

import time
from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.source import MMU

from ..unit.block_run import Run
from .trees import planted

HEAD: Final = "s2fuzz 1\nvm cpus=2\nslot a size=64K backing=anon\n"
ALONE: Final = HEAD + "cpu0 write a+0\n"
# The first vCPU continues while the second one has a fault in progress, and when it is done.
BOTH: Final = HEAD + "par\ncpu0 write a+0\ncpu1 write a+4K\n{}end\n"
PLACE: Final = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup(current->mm, hva);\n"
SWITCHES: Final = ("", "switch cpu1 to cpu0 after lookup 1\n", "switch cpu0 to cpu1 before lock 1\n")
LOCK: Final = "write_lock(&kvm->mmu_lock);"
UNLOCK: Final = "write_unlock(&kvm->mmu_lock);"
MUTEX: Final = "&kvm->slots_arch_lock"
SLEEP: Final = "\textern void msleep(unsigned int ms);\n\n"
# Code in a fault that terminates whether or not another actor can run.
ENDS: Final = {
    "once": "\tcpu_relax();\n",
    "a delay": "\tfor (int i = 0; i < 100000; i++)\n\t\tcpu_relax();\n",
    "a limit": "\tfor (int i = 0; i < 1000 && kvm->mmu_invalidate_seq != ~0UL; i++)\n\t\tcpu_relax();\n",
    "under the lock": f"\t{LOCK}\n\tfor (int i = 0; i < 100; i++)\n\t\tcpu_relax();\n\t{UNLOCK}\n",
    "schedule()": "\tfor (int i = 0; i < 100; i++)\n\t\tschedule();\n",
    "cond_resched()": "\tfor (int i = 0; i < 100; i++)\n\t\tcond_resched();\n",
    "a sleep": f"{SLEEP}\tmsleep(1);\n",
    "a sleep under a mutex": (
        f"{SLEEP}\tmsleep(1);\n\tmutex_lock({MUTEX});\n\t{LOCK}\n\t{UNLOCK}\n\tmsleep(1);\n\tmutex_unlock({MUTEX});\n"
    ),
}
# Code that never terminates, alone or with another actor.
ENDLESS: Final = {
    "a flag": "\twhile (READ_ONCE(kvm->mmu_invalidate_seq) != ~0UL)\n\t\tcpu_relax();\n",
    "nothing": "\tfor (;;)\n\t\tcpu_relax();\n",
    "a lock": f"\tfor (;;) {{\n\t\t{LOCK}\n\t\t{UNLOCK}\n\t\tcpu_relax();\n\t}}\n",
    "schedule()": "\tfor (;;)\n\t\tschedule();\n",
    "cond_resched()": "\tfor (;;)\n\t\tcond_resched();\n",
    "a sleep": f"{SLEEP}\tfor (;;)\n\t\tmsleep(1);\n",
}
SPINS: Final = "contract: kvm_handle_guest_abort: oops does not return in user_mem_abort"
# The first vCPU waits until the second one has reached this place. {}: code of the second one before that; code of the
# first one before and after its wait.
WAITS: Final = (
    "\tstatic int there;\n\n\tif (vcpu->vcpu_id) {{\n{}\t\tWRITE_ONCE(there, 1);\n\t}} else {{\n"
    "{}\t\twhile (!READ_ONCE(there))\n\t\t\tcpu_relax();\n{}\t}}\n"
)


def polling(folder: Path, text: str) -> str:
    """Copy 6.12 so that its faults run this code before they look up the VMA; return the name of the version."""
    return planted("6.12", folder, MMU, PLACE, f"\t{{\n{text}\t}}\n{PLACE}")


def signatures(run: Run) -> list[str]:
    assert run.refused == ""
    return [each.signature for each in run.violations]


@pytest.mark.parametrize("name", ENDS)
def test_polling_code_that_ends(name: str, tmp_path: Path) -> None:
    tree = polling(tmp_path / "tree", ENDS[name])
    assert signatures(Run(tree, ALONE)) == []
    for switch in SWITCHES:
        run = Run(tree, BOTH.format(switch))
        assert signatures(run) == []
        assert [part.status for part in run.outcomes[0].parts] == ["ok", "ok"]
        # The driver gives the same turns as the process itself.
        assert Run(tree, BOTH.format(switch), direct=0).lines == run.lines


@pytest.mark.parametrize("name", ENDLESS)
def test_polling_code_that_never_ends(name: str, tmp_path: Path) -> None:
    tree = polling(tmp_path / "tree", f"\tif (!vcpu->vcpu_id) {{\n{ENDLESS[name]}\t}}\n")
    for text in (ALONE, *(BOTH.format(switch) for switch in SWITCHES)):
        began = time.process_time()
        assert signatures(Run(tree, text)) == [SPINS]
        assert time.process_time() - began < 20


@pytest.mark.parametrize("call", ["cpu_relax()", "cond_resched()"])
def test_an_actor_that_polls_lets_the_other_one_run(call: str, tmp_path: Path) -> None:
    tree = polling(tmp_path / "tree", WAITS.format("", "", "").replace("cpu_relax()", call))
    for switch in SWITCHES:
        run = Run(tree, BOTH.format(switch))
        assert signatures(run) == []
        assert [part.status for part in run.outcomes[0].parts] == ["ok", "ok"]
        assert Run(tree, BOTH.format(switch), direct=0).lines == run.lines


def test_an_actor_that_polls_for_one_that_it_blocks(tmp_path: Path) -> None:
    locked, unlocked = f"\t\t{LOCK}\n", f"\t\t{UNLOCK}\n"
    tree = polling(tmp_path / "tree", WAITS.format(f"{locked}{unlocked}", locked, unlocked))
    assert signatures(Run(tree, BOTH.format(""))) == [SPINS]
    # If the first one does not hold the lock, the second one gets there.
    tree = polling(tmp_path / "right", WAITS.format(f"{locked}{unlocked}", f"{locked}{unlocked}", ""))
    assert signatures(Run(tree, BOTH.format(""))) == []


def test_an_actor_that_polls_for_one_that_it_has_woken(tmp_path: Path) -> None:
    text = (
        "\tstatic struct task_struct *sleeper;\n\tstatic int awake;\n\n\tif (vcpu->vcpu_id) {\n"
        "\t\tset_current_state(TASK_UNINTERRUPTIBLE);\n\t\tWRITE_ONCE(sleeper, current);\n\t\tschedule();\n"
        "\t\tWRITE_ONCE(awake, 1);\n\t} else {\n\t\twhile (!READ_ONCE(sleeper))\n\t\t\tcpu_relax();\n"
        "\t\twake_up_process(sleeper);\n\t\twhile (!READ_ONCE(awake))\n\t\t\tcpu_relax();\n\t}\n"
    )
    assert signatures(Run(polling(tmp_path / "tree", text), BOTH.format(""))) == []
    asleep = text.replace("\t\twake_up_process(sleeper);\n", "")
    assert signatures(Run(polling(tmp_path / "asleep", asleep), BOTH.format(""))) == [SPINS]
