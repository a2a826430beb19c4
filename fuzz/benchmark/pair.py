# SPDX-License-Identifier: GPL-2.0-only
"""The speed of a pair of kernel trees beside that of a pair of ports, and the parts that take the time.

Both judge the same programs, in separate processes that take turns, so that other load on the machine affects both. All
programs are judged once before, so that facts looked up once for each place in the code do not count.
"""

import os
import platform
from contextlib import ExitStack
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final

import candidate as candidates
from reference.compiled import choice as native

from . import tree_switches
from .bench import COMPILED, INTERPRETED, TURNS, BenchmarkWorker
from .fixed import COUNT
from .mix import CANDIDATE, REFERENCE
from .parts import sampled_parts

# All of them, because a few programs whose pages are copied one by one take much of the time.
PROGRAMS: Final = COUNT
PORTS: Final = "ports"
TREES: Final = "trees"
# Seconds of a pair, added up over all turns.
_SUMS: Final = ("seconds", "cpu_seconds", "user_seconds", "system_seconds")


def measure(reference: str, candidate: str, programs: int = PROGRAMS) -> dict[str, Any]:
    """Judge the mix with two pairs: the ports of the mix, and two versions.

    :param reference: name of a version, like *candidate*
    :param programs: number of programs, 1 to `fuzz.benchmark.fixed.COUNT`
    :returns: ``programs``, ``operations``, ``cores``, ``python``, ``ratio`` (of operations per second, trees to ports)
        and ``pairs``: for each ``reference``, ``candidate``, ``events`` (both sides), ``in_full`` (number of programs
        that two trees did not share), ``seconds``, ``cpu_seconds`` (Python), ``user_seconds``, ``system_seconds`` (of
        the trees), ``waiting_seconds``, ``operations_per_second``, ``operations_per_cpu_second`` (of all processes) and
        ``parts`` (per cent of all time on a core; {} without perf); ``switch``: the cost of a switch in the first tree
        (`fuzz.benchmark.tree_switches.SwitchCost`), None if the version is no tree
    :raises RuntimeError: a process died
    """
    versions = {PORTS: (REFERENCE, CANDIDATE), TREES: (reference, candidate)}
    form = COMPILED if native.choose().mypyc else INTERPRETED
    turns = [programs * turn // TURNS for turn in range(TURNS + 1)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(BenchmarkWorker(form, programs, *pair)) for name, pair in versions.items()}
        for worker in workers.values():
            worker.ask("run", 0, programs)
        for first, end in pairwise(turns):
            for name, worker in workers.items():
                runs[name].append(worker.ask("run", first, end))
        events = {name: worker.ask("events") for name, worker in workers.items()}
    pairs = {
        name: {
            "reference": pair[0],
            "candidate": pair[1],
            "events": events[name],
            **summed(runs[name]),
            "parts": sampled_parts(form == INTERPRETED, programs, *pair),
        }
        for name, pair in versions.items()
    }
    rates = [float(pairs[name]["operations_per_second"]) for name in (TREES, PORTS)]
    return {
        "mix": "the fixed mix",
        "programs": programs,
        "operations": int(sum(run["operations"] for run in runs[PORTS])),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "switch": asdict(tree_switches.measure(reference)) if candidates.get(reference).is_tree else None,
        "ratio": round(rates[0] / rates[1], 3) if rates[1] else 0.0,
        "pairs": pairs,
    }


def summed(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the figures of a pair over all turns, from those of each turn (`fuzz.benchmark.mix.Mix.run`)."""
    seconds, python, user, system = (sum(run[name] for run in runs) for name in _SUMS)
    operations = sum(run["operations"] for run in runs)
    cpu = python + user + system
    return {
        "in_full": int(sum(run["in_full"] for run in runs)),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(python, 3),
        "user_seconds": round(user, 3),
        "system_seconds": round(system, 3),
        # This includes time taken by other processes of the machine.
        "waiting_seconds": round(max(seconds - python, 0.0), 3),
        "operations_per_second": round(operations / seconds, 1) if seconds else 0.0,
        "operations_per_cpu_second": round(operations / cpu, 1) if cpu else 0.0,
    }


def text(result: dict[str, Any]) -> str:
    """Return the result of `measure` as text."""
    pairs: dict[str, dict[str, Any]] = result["pairs"]
    each = list(pairs.values())

    def row(label: str, values: list[str]) -> str:
        return label.ljust(44) + "".join(value.rjust(12) for value in values)

    def figures(label: str, key: str, digits: int) -> str:
        return row(label, [f"{pair[key]:.{digits}f}" for pair in each])

    lines = [
        f"{result['programs']} programs, {result['operations']} operations, {result['mix']},",
        f"on {result['cores']} cores, Python {result['python']}",
        *(f"{name}: {pair['reference']} against {pair['candidate']}" for name, pair in pairs.items()),
        "",
        row("", list(pairs)),
        figures("operations/s (by the clock)", "operations_per_second", 0),
        figures("operations/s (CPU time of all processes)", "operations_per_cpu_second", 0),
        figures("events of both sides", "events", 0),
        figures("programs that were judged again in full", "in_full", 0),
        figures("seconds", "seconds", 2),
        figures("  Python", "cpu_seconds", 2),
        figures("  Python waits, or something else runs", "waiting_seconds", 2),
        figures("trees' processes, seconds in user mode", "user_seconds", 2),
        figures("trees' processes, seconds in the system", "system_seconds", 2),
        *switch_text(result.get("switch")),
        "",
        "where the time goes, in per cent of that on a core (sampled by perf)",
    ]
    parts = sorted({part for pair in each for part in pair["parts"]}, key=lambda part: -each[-1]["parts"].get(part, 0))
    lines += [row(part, [f"{pair['parts'].get(part, 0):.1f}" for pair in each]) for part in parts]
    lines += [] if parts else ["perf gives no samples here"]
    return "\n".join(lines) + "\n"


def switch_text(cost: dict[str, float] | None) -> list[str]:
    """Describe the cost of a switch; None means that it was not measured."""
    if cost is None:
        return []
    rest = f"{cost['in_all']:.1f} us with the driver's part, {cost['by_driver']:.1f} us where the driver is asked"
    return ["", f"a switch to another vCPU: {cost['in_process']:.2f} us in the tree's process, {rest}"]
