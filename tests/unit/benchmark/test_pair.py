# SPDX-License-Identifier: GPL-2.0-only
"""A pair of trees beside a pair of ports: time by samples, sums over turns, CPU time of processes."""

import os
import subprocess
import sys
from typing import Any

from candidate.tree.runtime import times
from fuzz.benchmark.pair import summed, text
from fuzz.benchmark.parts import parts

JUDGING = "\t1 CPyDef_differential___Differential___run (/build/native/x.so)\n"
MODULES = [
    "candidate.tree.runtime.process", "candidate.tree.runtime.replay", "fuzz.checkers.tlb", "fuzz.judging.differential",
    "reference.kernel", "reference.pgtable",
]  # fmt: skip


def python(*symbols: str) -> str:
    return "python\n" + "".join(f"\t1 {symbol} (/lib/x.so)\n" for symbol in symbols) + JUDGING


def tree(*frames: tuple[str, str]) -> str:
    return "tree.so\n" + "".join(f"\t7f12 {symbol} ({file})\n" for symbol, file in frames)


def test_samples_of_python_count_for_the_innermost_compiled_function() -> None:
    stacks = [
        python("PyLong_FromLong", "CPyDef_replay___Replay___run"),
        python("CPyDef_process___Process___send", "CPyDef_replay___Replay___run"),
        python("CPyDef_tlb___Tlb___quiet.part.0", "CPyDef_replay___Replay___one"),
        python("CPyDef_kernel___Kernel___store"),
        python("CPyPy_pgtable___Pgtable_____kvm_pgtable_walk__"),
        python(),
        "python\n\t1 _PyEval_EvalFrameDefault (/lib/x.so)\n",
    ]
    assert parts(stacks, MODULES) == {
        "Python: replay": 1,
        "Python: exchange with processes": 1,
        "Python: checkers": 1,
        "Python: host, machine, events": 1,
        "Python: kernel code": 1,
        "Python: judging": 1,
    }


def test_samples_of_a_tree_count_for_the_innermost_function_of_the_library() -> None:
    stacks = [
        tree(("__tsan_read8", "/c/tree.so"), ("stage2_free_walker", "/c/tree.so")),
        tree(("stage2_free_walker", "/c/tree.so"), ("serve", "/c/tree.so")),
        tree(("exc_page_fault", "[kernel.kallsyms]"), ("memset", "/lib/libc.so.6"), ("shim_restore", "/c/tree.so")),
        tree(("do_syscall_64", "[kernel.kallsyms]"), ("receive_byte+0x2f", "/c/tree.so")),
        tree(("rt_record", "/c/tree.so"), ("rt_emit", "/c/tree.so")),
        tree(("_dl_start", "/lib64/ld.so")),
    ]
    assert parts(stacks, []) == {
        "tree: calls at loads and stores": 1,
        "tree: kernel code, models": 1,
        "tree: memory restored": 1,
        "tree: waits and wakes": 1,
        "tree: records": 1,
        "tree: start": 1,
    }


def turn(seconds: float, cpu: float, user: float, system: float, operations: int) -> dict[str, float]:
    return {
        "seconds": seconds, "cpu_seconds": cpu, "user_seconds": user, "system_seconds": system,
        "operations": operations, "in_full": 1,
    }  # fmt: skip


def test_rates_cover_all_turns() -> None:
    found = summed([turn(2, 1, 0.5, 0.25, 100), turn(3, 1, 0, 0.25, 200)])
    assert found["operations_per_second"] == 60
    assert found["operations_per_cpu_second"] == 100
    assert (found["waiting_seconds"], found["in_full"]) == (3, 2)


def test_the_text_has_both_pairs_and_the_largest_part_of_trees_first() -> None:
    def pair(name: str, parts: dict[str, float]) -> dict[str, Any]:
        return {"reference": name, "candidate": name, "events": 5, **summed([turn(2, 1, 0, 0, 80)]), "parts": parts}

    pairs = {"ports": pair("original", {"a": 90.0, "b": 10.0}), "trees": pair("tree:x", {"a": 25.0, "b": 75.0})}
    result = {"programs": 3, "operations": 80, "mix": "seed 1", "cores": 2, "python": "3.11.7", "pairs": pairs}
    said = text(result).splitlines()
    assert said[3] == "trees: tree:x against tree:x"
    assert said[6].split()[-2:] == ["40", "40"]
    assert [line.split()[0] for line in said[-2:]] == ["b", "a"]
    cost = {"in_process": 0.25, "in_all": 30.0, "by_driver": 90.5}
    switch = "a switch to another vCPU: 0.25 us in the tree's process, 30.0 us with the driver's part, 90.5 us if"
    assert [line for line in text({**result, "switch": cost}).splitlines() if line.startswith(switch)]


def test_the_time_of_ended_processes_is_the_value_of_the_system() -> None:
    before = times.seconds()[0]
    subprocess.run([sys.executable, "-c", "for i in range(5_000_000): pass"], check=True)
    assert times.seconds()[0] > before


def test_the_family_of_a_process_is_itself_and_its_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert set(times.family(os.getpid())) >= {os.getpid(), child.pid}
    finally:
        child.communicate(b"\n", timeout=60)
