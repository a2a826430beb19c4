# SPDX-License-Identifier: GPL-2.0-only
"""The speed of judging in compiled and interpreted form, its time by area, the cost model, the growth of memory.

The mix is fixed (`fuzz.benchmark.fixed`), so that two versions of s2fuzz judge the same programs, original against
RFC v1, including creation and destruction of both VMs. The capped mix has them with shorter ranges, as in
fuzzing (`fuzz.generation.capping`). Each form has its own process. The processes take turns, so that other load
on the machine affects both.
"""

import json
import os
import platform
from contextlib import ExitStack
from itertools import pairwise
from typing import Any, Final

from reference.compiled import choice as native

from ..processes.child import Child
from .areas import sampled
from .fixed import COUNT
from .mix import CANDIDATE, PROFILED
from .model import TERMS, fitted, grouped

PROGRAMS: Final = COUNT
TURNS: Final = 10

# Timeout for one answer in seconds.
_PATIENCE: Final = 3600.0

COMPILED: Final = "compiled"
INTERPRETED: Final = "interpreted"


class BenchmarkWorker(Child):
    """A process that judges the mix in one form.

    :param form: COMPILED or INTERPRETED
    :param programs: number of programs
    :param versions: reference and candidate, if they are not those of the mix
    :raises NoProcessError: it cannot be started
    """

    def __init__(self, form: str, programs: int, *versions: str) -> None:
        environment = {"S2FUZZ_PURE": str(int(form == INTERPRETED))}
        what = f"the process that judges ({form})"
        super().__init__(what, "fuzz.benchmark.mix_process", str(programs), *versions, environment=environment)

    def ask(self, *words: object) -> Any:
        """Return the answer to a command of `fuzz.benchmark.mix`.

        :raises RuntimeError: the process died
        """
        self.send(" ".join(map(str, words)).encode())
        answer = self.line(_PATIENCE)
        if answer is None:
            self.kill()
            raise RuntimeError(f"{self.what} {self.death()}")
        return json.loads(answer)


def measure(programs: int = PROGRAMS) -> dict[str, Any]:
    """Run the mix in the available forms.

    :param programs: number of programs, 1 to `PROGRAMS`
    :returns: ``mix``, ``programs``, ``operations``, ``events`` (of the kernel layer, both sides), ``capped`` (programs
        that have shorter ranges in the capped mix), ``cores``, ``python``; ``forms``: for each ``seconds``,
        ``cpu_seconds``, ``operations_per_second``, ``events_per_second`` (both per CPU second),
        ``capped_operations_per_second`` (likewise), ``switch_microseconds``, ``memory_at_10_percent`` and
        ``memory_at_end`` (see `fuzz.benchmark.mix.memory`), ``areas`` (per cent of the time; {} if it cannot be
        measured), ``groups`` (`fuzz.benchmark.model.grouped`), ``model`` (`fuzz.benchmark.model.fitted`)
    """
    names = [COMPILED, INTERPRETED] if native.choose().mypyc else [INTERPRETED]
    turns = [programs * turn // TURNS for turn in range(TURNS + 1)]
    with ExitStack() as stack:
        workers = {name: stack.enter_context(BenchmarkWorker(name, programs)) for name in names}
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        early: dict[str, dict[str, int]] = {}
        for first, end in pairwise(turns):
            for name, worker in workers.items():
                runs[name].append(worker.ask("run", first, end))
                if name not in early:
                    early[name] = worker.ask("memory")
        late = {name: worker.ask("memory") for name, worker in workers.items()}
        spent = {name: worker.ask("spending") for name, worker in workers.items()}
        capped = {name: worker.ask("capped") for name, worker in workers.items()}
        # Equal in both forms.
        counts = workers[names[0]].ask("counts")
        events = workers[names[0]].ask("events")
        switches = {name: worker.ask("switch") for name, worker in workers.items()}
        areas = {INTERPRETED: workers[INTERPRETED].ask("areas")}
    if COMPILED in names:
        areas[COMPILED] = sampled(max(programs // PROFILED, 1) if programs < PROGRAMS else programs)
    operations = int(sum(run["operations"] for run in runs[names[0]]))
    forms = {}
    for name in names:
        cpu = sum(run["cpu_seconds"] for run in runs[name])
        forms[name] = {
            "seconds": round(sum(run["seconds"] for run in runs[name]), 3),
            "cpu_seconds": round(cpu, 3),
            "operations_per_second": round(operations / cpu, 1),
            "events_per_second": round(events / cpu, 1),
            "capped_operations_per_second": round(capped[name]["operations"] / capped[name]["cpu_seconds"], 1),
            "switch_microseconds": switches[name],
            "memory_at_10_percent": early[name],
            "memory_at_end": late[name],
            "areas": areas[name],
            "groups": grouped(areas[name]),
            "model": fitted(counts, spent[name]),
        }
    return {
        "mix": f"the fixed mix, original against {CANDIDATE}",
        "programs": programs,
        "operations": operations,
        "events": events,
        "capped": int(capped[names[0]]["changed"]),
        "forms": forms,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def text(result: dict[str, Any]) -> str:
    """Return the result of `measure` as text."""
    forms: dict[str, dict[str, Any]] = result["forms"]

    def row(label: str, values: list[str]) -> str:
        return label.ljust(40) + "".join(value.rjust(14) for value in values)

    def memory(form: dict[str, Any]) -> str:
        return f"{form['memory_at_end']['peak_kib'] // 1024}"

    def growth(form: dict[str, Any]) -> str:
        return f"{form['memory_at_end']['objects'] - form['memory_at_10_percent']['objects']:+d}"

    each = list(forms.values())
    lines = [
        f"{result['programs']} programs, {result['operations']} operations, {result['events']} events,",
        f"{result['mix']}, on one of {result['cores']} cores, Python {result['python']}",
        "",
        row("", list(forms)),
        row("operations/s (CPU time)", [f"{form['operations_per_second']:.0f}" for form in each]),
        row("events/s (CPU time)", [f"{form['events_per_second']:.0f}" for form in each]),
        row("operations/s, capped mix", [f"{form['capped_operations_per_second']:.0f}" for form in each]),
        row("microseconds of a switch between vCPUs", [f"{form['switch_microseconds']:.2f}" for form in each]),
        row("seconds of CPU time", [f"{form['cpu_seconds']:.2f}" for form in each]),
        row("seconds", [f"{form['seconds']:.2f}" for form in each]),
        row("peak memory in MiB", [memory(form) for form in each]),
        row("live objects gained since 10 %", [growth(form) for form in each]),
        "",
        "cost model: microseconds of CPU time, both sides together",
        *(
            row(f"a{'n' * (term[0] in 'aeo')} {term}", [f"{form['model'][term]:.4g}" for form in each])
            for term in TERMS
        ),
        row("fit in per cent", [f"{form['model']['fit']:.1f}" for form in each]),
        "",
        "checkers and kernel code, in per cent of the time",
        *(row(group, [f"{form['groups'].get(group, 0):.1f}" for form in each]) for group in each[-1]["groups"]),
        "",
        "where the time goes, in per cent (compiled: sampled by perf; interpreted: cProfile, which slows calls down)",
    ]
    names = sorted({area for form in each for area in form["areas"]}, key=lambda name: -each[-1]["areas"].get(name, 0))
    lines += [row(name, [f"{form['areas'].get(name, 0):.1f}" for form in each]) for name in names]
    return "\n".join(lines) + "\n"
