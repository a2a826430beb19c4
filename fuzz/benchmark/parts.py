# SPDX-License-Identifier: GPL-2.0-only
"""The parts of judging that take time, from samples of perf in Python and in the processes of trees."""

import re
from collections.abc import Iterable
from typing import Final

from reference.compiled import choice as native

from .areas import ranked
from .sampling import JUDGING, innermost, short_names, stacks_of

# Parts of compiled modules; the longest matching name counts.
_PYTHON: Final = {
    "reference.pgtable": "Python: kernel code",
    "reference.mmu": "Python: kernel code",
    "reference.tlb": "Python: kernel code",
    "reference.tlbflush": "Python: kernel code",
    "reference.kvm_main": "Python: kernel code",
    "reference": "Python: host, machine, events",
    "candidate": "Python: kernel code",
    "candidate.tree": "Python: replay",
    "candidate.tree.runtime.exchange": "Python: to and from processes",
    "candidate.tree.runtime.process": "Python: to and from processes",
    "fuzz": "Python: operations",
    "fuzz.checkers": "Python: checkers",
    "fuzz.judging": "Python: judging",
}
_OTHER: Final = "Python: other"
# Parts of functions of our runtime (candidate/tree/native), by prefix; the longest matching prefix counts.
_NATIVE: Final = {
    "": "tree: kernel code, models",
    "__tsan_": "tree: calls at loads and stores",
    "plain_slow": "tree: calls at loads and stores",
    "rt_read_entry": "tree: calls at loads and stores",
    "shim_read": "tree: calls at loads and stores",
    "rt_touched": "tree: calls at loads and stores",
    "rt_settle": "tree: records",
    "rt_emit": "tree: records",
    "rt_record": "tree: records",
    "shim_emit": "tree: records",
    "shim_store": "tree: records",
    "shim_cmpxchg": "tree: records",
    "chain_id": "tree: records",
    "number_of": "tree: records",
    "name_id": "tree: records",
    "mixed": "tree: records",
    "shim_digest_log": "tree: records",
    "shim_compare_arena": "tree: tables compared",
    "shim_restore": "tree: memory put back",
    "zero": "tree: memory put back",
    "rt_give_back": "tree: memory put back",
    "rt_put_back_stock": "tree: memory put back",
    "begin": "tree: memory put back",
    "shim_clear_counters": "tree: memory put back",
    "shim_add_counters": "tree: memory put back",
    "hear": "tree: waits and wakes",
    "say": "tree: waits and wakes",
    "patience": "tree: waits and wakes",
    "serve": "tree: waits and wakes",
    "ask": "tree: waits and wakes",
    "request": "tree: waits and wakes",
    "reply": "tree: waits and wakes",
}
_START: Final = "tree: start"
# The name of a tree's process and of its library.
_TREE: Final = "tree.so"
_LINE: Final = re.compile(r"^\s*[0-9a-f]+ (?P<symbol>\S+)(?:\+0x[0-9a-f]+)? \((?P<file>.*)\)$", re.MULTILINE)
_HERTZ: Final = 499


def sampled_parts(pure: bool, programs: int, *versions: str) -> dict[str, float]:
    """Return per cent of the time by part, from a separate process and its trees' processes under perf.

    :param pure: run plain Python, where only the trees' processes have parts
    :returns: {} if perf is missing or not allowed
    """
    if pure:
        return {}
    stacks = stacks_of(["-P", "-m", "fuzz.benchmark.mix", str(programs), "all", *versions], "comm,ip,sym,dso", _HERTZ)
    return ranked(parts(stacks, list(native.choose().files))) if stacks else {}


def parts(stacks: Iterable[str], modules: list[str]) -> dict[str, float]:
    """Count samples by part.

    :param stacks: the name of the process, then one frame per line, the innermost first, as ``perf script`` prints them
    :param modules: names of the compiled modules
    """
    names = short_names(modules)
    times: dict[str, float] = {}
    for stack in stacks:
        if stack.lstrip().startswith(_TREE):
            part = part_of_tree(stack)
        elif JUDGING in stack:
            part = part_of_python(stack, names)
        else:
            continue
        times[part] = times.get(part, 0.0) + 1
    return times


def part_of_python(stack: str, names: dict[str, str]) -> str:
    """Return the part of a sample of Python's process: that of the innermost compiled function."""
    module = innermost(stack, names)
    fit = max((name for name in _PYTHON if f"{module}.".startswith(f"{name}.")), key=len, default="")
    return _PYTHON.get(fit, _OTHER)


def part_of_tree(stack: str) -> str:
    """Return the part of a sample of a tree's process: that of the innermost function of the library."""
    for line in _LINE.finditer(stack):
        if line["file"].endswith(_TREE):
            return _NATIVE[max((name for name in _NATIVE if line["symbol"].startswith(name)), key=len)]
    return _START
