# SPDX-License-Identifier: GPL-2.0-only
"""Several vCPUs run concurrently in a kernel tree, one step at a time."""

from pathlib import Path
from typing import Final

import pytest

import candidate
from candidate.tree.building.source import MMU, PGTABLE
from candidate.tree.runtime.pool import POOL
from fuzz.command_line.cli import main
from fuzz.generation.capabilities import Offers
from fuzz.generation.generator import Generator
from fuzz.judging.differential import DIVERGENCE, REGRESSION, Differential
from fuzz.language.program import KIB, has_blocks
from fuzz.language.text import parse, print_program

from ..unit.block_run import Run
from .trees import planted, real_trees, version

TREE: Final = "6.12"
# A page that both may read, and neither may write yet: dirty logging.
RELAX: Final = "s2fuzz 1\nvm\nslot a size=2M backing=anon log=on\ncpu0 read a+0\n"
BOTH_RELAX: Final = "par\ncpu0 write a+0\ncpu1 write a+0\nswitch cpu0 to cpu1 after fault 1\n{}\nend\nlog a get\n"
MAP: Final = "s2fuzz 1\nvm\nslot a size=4M backing=anon\n"
BOTH_MAP: Final = "par\ncpu0 write a+0\ncpu1 write {}\nswitch cpu0 to cpu1 after fault 1\n{}\nend\ncpu0 read a+0\n"


DRAWN: Final = 40


def test_a_relaxing_fault_loses_its_compare_exchange_at_one_load_only() -> None:
    """A switch right after the last load before the exchange makes it fail; a switch after another load does not."""
    name = version(TREE)
    lost = []
    for load in range(1, 5):
        run = Run(name, RELAX + BOTH_RELAX.format(f"switch cpu1 to cpu0 after load {load}"))
        assert run.violations == []
        assert [part.status for part in run.outcomes[1].parts] == ["ok", "ok"]
        assert run.outcomes[2].value_text() == "dirty page 0"
        if run.count("compare-exchange lost"):
            lost.append(load)
    assert len(lost) == 1
    run = Run(name, RELAX + BOTH_RELAX.format("switch cpu1 to cpu0 before cmpxchg 1"))
    assert (run.count("compare-exchange lost"), run.violations) == (1, [])


@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_others_may_run_right_after_each_load(name: str) -> None:
    """This includes plain loads, which the compiler's instrumentation reports before they happen."""
    tree = version(name)
    for load in range(1, 20):
        run = Run(tree, RELAX + BOTH_RELAX.format(f"switch cpu1 to cpu0 after load {load}"))
        assert run.violations == []
        if run.outcomes[1].detail:
            break
        third = [at for at, line in enumerate(run.lines) if line.startswith("-- turn")][2]
        ours = run.lines[run.lines.index("-- turn of cpu1") : third]
        assert (sum(": loaded, " in line for line in ours), ": loaded, " in ours[-1]) == (load, True)
    # The walk reads three entries, and the last one again.
    assert load > 4
    assert run.outcomes[1].detail == f"cpu1 never reaches: after load {load}"


@pytest.mark.parametrize("place", ["a+0", "a+4K"])
@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_two_faults_map(name: str, place: str) -> None:
    """Two vCPUs map the same page, or two pages of one table, with a switch at each kind of place: both finish."""
    tree = version(name)
    waited = lost = 0
    for switch in (
        *("after load 1", "after load 2", "before cmpxchg 1", "after cmpxchg 1", "before store 1", "after store 1"),
        *("before lock 1", "after lock 1", "before unlock 1", "before clean 1", "before lookup 1", "before flush 1"),
    ):
        run = Run(tree, MAP + BOTH_MAP.format(place, f"switch cpu1 to cpu0 {switch}"))
        assert (switch, run.violations) == (switch, [])
        assert [part.status for part in run.outcomes[0].parts] == ["ok", "ok"]
        waited += run.count("waits for the mmu lock, which cpu1 holds")
        lost += run.count("compare-exchange lost")
    # A fault that maps a page holds the lock exclusively, or exchanges entries.
    assert (waited > 0) != (lost > 0)


def test_a_vcpu_without_progress_yields() -> None:
    """A fault on an entry that another vCPU has locked changes nothing: the other one continues, and both finish."""
    run = Run(version(TREE), MAP + BOTH_MAP.format("a+0", "switch cpu1 to cpu0 after cmpxchg 1"))
    turns = [line.rpartition(" ")[2] for line in run.lines if line.startswith("-- turn")]
    assert turns == ["cpu0", "cpu1", "cpu0", "cpu1", "cpu0"]
    assert [part.faults for part in run.outcomes[0].parts] == [2, 1]


def test_a_switch_whose_place_is_never_reached_is_reported(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    name = version(TREE)
    text = RELAX + BOTH_RELAX.format("switch cpu1 to cpu0 before cmpxchg 2")
    assert Run(name, text).outcomes[1].detail == "cpu1 never reaches: before cmpxchg 2"
    tree = candidate.get(name)
    assert Differential(tree, tree).run(parse(text)).notes == [
        "operation 2, both sides: cpu1 never reaches: before cmpxchg 2"
    ]
    file = tmp_path_factory.mktemp("p") / "x.s2"
    file.write_text(text)
    main(["run", str(file), "--reference", name, "--candidate", name, "--trace"])
    said = capsys.readouterr().out
    assert "both sides: cpu1 never reaches: before cmpxchg 2" in said
    assert "-- turn of cpu1" in said


def test_one_program_one_interleaving() -> None:
    """Another run has the same events, even in a process with other addresses and after other programs."""
    name = version(TREE)
    texts = [
        RELAX + BOTH_RELAX.format("switch cpu1 to cpu0 after load 3"),
        MAP + BOTH_MAP.format("a+4K", "switch cpu1 to cpu0 after cmpxchg 2"),
        RELAX + "cpu0 write a+4K\n",
    ]
    POOL.forget()
    first = [Run(name, text).lines for text in texts]
    again = [Run(name, text).lines for text in reversed(texts)]
    assert first == again[::-1]
    for text, lines in zip(texts, first, strict=True):
        POOL.forget()
        assert Run(name, text).lines == lines
    assert all(len(lines) > 30 for lines in first)


# Two vCPUs that interrupt each other at many places; three vCPUs, the third of which begins late.
BACK_AND_FORTH: Final = "".join(
    f"switch cpu{cpu} to cpu{1 - cpu} {when} load {load}\n"
    for load in range(1, 4)
    for cpu, when in ((1, "after"), (0, "after"))
)
THREE: Final = (
    "s2fuzz 1\nvm cpus=3\nslot a size=4M backing=anon\npar\ncpu0 write a+0\ncpu1 write a+4K\ncpu2 write a+0\n"
    "switch cpu0 to cpu1 after lock 1\nswitch cpu1 to cpu0 before lock 1\nswitch cpu0 to cpu2 before unlock 1\n"
    "switch cpu2 to cpu1 after lookup 1\nswitch cpu1 to cpu2 after lookup 1\nend\ncpu1 read a+0\n"
)


@pytest.mark.parametrize("name", real_trees() or [TREE])
def test_the_process_changes_turns_as_the_driver_does(name: str) -> None:
    """Events, their order and all results are the same either way, also with random schedules."""
    tree = version(name)
    generator = Generator(1, 4 * KIB, Offers(par=True))
    drawn = [program for program in (generator.next() for _ in range(DRAWN)) if has_blocks(program)]
    changed = 0
    for text in (
        MAP + BOTH_MAP.format("a+0", BACK_AND_FORTH[:-1]),
        RELAX + BOTH_RELAX.format(BACK_AND_FORTH[:-1]),
        MAP + BOTH_MAP.format("a+0", "switch cpu1 to cpu0 after lock 1"),
        THREE,
        *map(print_program, drawn),
    ):
        POOL.forget()
        one = Run(tree, text)
        POOL.forget()
        other = Run(tree, text, 0)
        assert one.lines == other.lines
        assert other.turns == 0
        changed += one.turns
    assert len(drawn) > 3
    assert changed > 5


def test_a_callback_of_rcu_that_is_interrupted_runs_once() -> None:
    """One vCPU frees a table at the end of its call; another one makes a whole call meanwhile."""
    text = (
        "s2fuzz 1\nvm\nslot a size=4M backing=thp log=on\ncpu0 write a+0\ncpu0 write a+4K\nlog a off\npar\n"
        "cpu0 write a+8K\ncpu1 read a+12K\nswitch cpu0 to cpu1 after fault 1\nswitch cpu1 to cpu0 after load {}\nend\n"
    )
    for load in (8, 40, 900):
        run = Run(version(TREE), text.format(load))
        assert (run.violations, run.outcomes[3].detail) == ([], "")
        assert run.count("callback 0 runs") == 1


def test_two_vms() -> None:
    """vCPUs of different VMs never wait for each other."""
    text = (
        "s2fuzz 1\nvm vms=2\nslot a size=2M backing=anon\nslot b size=2M backing=anon vm=1\npar\ncpu0 write a+0\n"
        "cpu3 write b+0\nswitch cpu0 to cpu3 after lock 1\nswitch cpu3 to cpu0 before unlock 1\nend\n"
    )
    for name in real_trees() or [TREE]:
        run = Run(version(name), text)
        assert (run.violations, run.count("waits")) == ([], 0)
        assert run.count("-- turn") == 4


def test_copy_on_write_during_the_fault_of_another_vcpu() -> None:
    """The host's notifiers run in the middle of a fault, while another vCPU holds the lock that they need."""
    text = (
        "s2fuzz 1\nvm\nslot a size=2M backing=anon\ncpu0 read a+0\ncpu1 read a+4K\nhost share a+0 8K\npar\n"
        "cpu1 read a+4K\ncpu0 write a+0\ncpu1 write a+4K\n"
        "switch cpu1 to cpu0 after lock 1\nswitch cpu0 to cpu1 after lock 1\nend\ncpu0 read a+0\n"
    )
    for name in real_trees() or [TREE]:
        run = Run(version(name), text)
        assert run.violations == []
        assert [part.status for part in run.outcomes[3].parts] == ["ok"] * 3


def test_a_page_that_another_vcpu_has_copied_meanwhile_may_be_mapped() -> None:
    """Both break copy-on-write: cpu1 maps its copy by ``change_pte()`` before cpu0's invalidation returns."""
    both = candidate.get(version("6.1"))
    program = parse(
        "s2fuzz 1\nvm cpus=2\nslot a size=64K backing=anon\ncpu0 read a+32K\nhost share a+0 16K\npar\ncpu0 write a+4K\n"
        "cpu1 write a+4K\nswitch cpu0 to cpu1 after unlock 1\nend\ncpu0 read a+4K\n"
    )
    assert Differential(both, both).run(program).findings == []


def test_hardware_sets_an_access_flag_between_two_steps() -> None:
    """Interrupted code then sees what the hardware has done meanwhile for another vCPU."""
    text = (
        "s2fuzz 1\nvm haf=on\nslot a size=2M backing=anon log=on\ncpu0 read a+0\nhost age a+0 4K\npar\ncpu0 write a+0\n"
        "cpu1 read a+0\nswitch cpu0 to cpu1 after lock 1\nend\ncpu1 write a+0\n"
    )
    for name in real_trees() or [TREE]:
        run = Run(version(name), text)
        # A known bug of some trees, which a single actor shows too.
        assert {"marked accessed, not held" in each.signature for each in run.violations} <= {True}
        assert run.count("the hardware sets the access flag") == 1
        assert [part.status for part in run.outcomes[2].parts] == ["ok", "ok"]


IGNORED: Final = "\treturn cmpxchg(ctx->ptep, ctx->old, new) == ctx->old;\n"
LOCKED: Final = "\tmmap_read_lock(current->mm);\n\tvma = vma_lookup(current->mm, hva);\n"
# vCPU 0 takes the mmu lock first, vCPU 1 the mmap lock.
CROSSED: Final = (
    "\tif (vcpu->vcpu_id) {\n\t\tmmap_write_lock(current->mm);\n\t\twrite_lock(&kvm->mmu_lock);\n"
    "\t\twrite_unlock(&kvm->mmu_lock);\n\t\tmmap_write_unlock(current->mm);\n\t} else {\n"
    "\t\twrite_lock(&kvm->mmu_lock);\n\t\tmmap_write_lock(current->mm);\n\t\tmmap_write_unlock(current->mm);\n"
    "\t\twrite_unlock(&kvm->mmu_lock);\n\t}\n"
)


def test_a_failed_compare_exchange_that_is_ignored_is_found(tmp_path: Path) -> None:
    name = planted(TREE, tmp_path / "tree", PGTABLE, IGNORED, "\tcmpxchg(ctx->ptep, ctx->old, new);\n\treturn true;\n")
    text = MAP + BOTH_MAP.format("a+4K", "switch cpu1 to cpu0 before cmpxchg 1")
    verdict = Differential(candidate.get(version(TREE)), candidate.get(name)).run(parse(text))
    kinds = {finding.kind for finding in verdict.findings}
    assert REGRESSION in kinds <= {REGRESSION, DIVERGENCE}
    assert any("table->other table without break" in finding.signature for finding in verdict.findings)


def test_a_deadlock_names_waiting_actors_and_holders(tmp_path: Path) -> None:
    name = planted(TREE, tmp_path / "tree", MMU, LOCKED, CROSSED + LOCKED)
    text = MAP + "par\ncpu0 write a+0\ncpu1 write a+0\n{}end\n"
    switch = "switch cpu0 to cpu1 after lock 1\n"
    run = Run(name, text.format(switch))
    assert [violation.signature.partition(": ")[0] for violation in run.violations] == ["locking"]
    assert "deadlock" in run.violations[0].signature
    assert "cpu0 waits for the mmap lock, which cpu1 holds; cpu1 waits for the mmu lock, which cpu0 holds" in (
        run.violations[0].reason
    )
    # The process then serves other programs, and without the switch no actor waits.
    assert Run(name, text.format("")).outcomes[0].status == "ok"


@pytest.mark.parametrize("tree", ["6.1", "6.12"])
def test_a_fault_requests_a_page_while_another_actor_holds_its_page_table(tree: str) -> None:
    """In a tree's process, no other actor runs before the answer."""
    block = (
        "vm cpus=3\nslot b ipa=1034M size=4K backing=thp\nhost merge b+0\npar\nhost0 merge b+0\ncpu2 read b+0\n"
        "cpu0 write b+0\nswitch host0 to cpu2 before unlock 1\nswitch cpu2 to cpu0 after load 1\n"
        "switch cpu0 to host0 before lock 1\nswitch host0 to cpu0 before lock 1 fault=2\nend\n"
    )
    assert [each.signature for each in Run(version(tree), f"s2fuzz 1\n{block}").violations] == []
