# SPDX-License-Identifier: GPL-2.0-only
"""Time of judging by part, from samples of perf: of the Python process, and of the trees' processes."""

import re
from collections.abc import Iterable
from typing import Final

from reference.compiled import choice as native

from .areas import ranked
from .sampling import JUDGING, innermost, short_names, stacks_of

# The part of each compiled module, by package; the longest match counts.
_PYTHON: Final = {
    "reference.pgtable": "Python: kernel code",
    "reference.mmu": "Python: kernel code",
    "reference.tlb": "Python: kernel code",
    "reference.tlbflush": "Python: kernel code",
    "reference.kvm_main": "Python: kernel code",
    "reference": "Python: host, machine, events",
    "candidate": "Python: kernel code",
    "candidate.tree": "Python: replay",
    "candidate.tree.runtime.exchange": "Python: exchange with processes",
    "candidate.tree.runtime.process": "Python: exchange with processes",
    "fuzz": "Python: operations",
    "fuzz.checkers": "Python: checkers",
    "fuzz.judging": "Python: judging",
}
_OTHER: Final = "Python: other"
# The part of each function of our runtime (candidate/tree/native), by name prefix; the longest match counts.
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
    "shim_compare_arena": "tree: comparison of tables",
    "shim_restore": "tree: memory restored",
    "zero": "tree: memory restored",
    "rt_give_back": "tree: memory restored",
    "rt_put_back_stock": "tree: memory restored",
    "begin": "tree: memory restored",
    "shim_clear_counters": "tree: memory restored",
    "shim_add_counters": "tree: memory restored",
    "receive_byte": "tree: waits and wakes",
    "send_byte": "tree: waits and wakes",
    "patience": "tree: waits and wakes",
    "serve": "tree: waits and wakes",
    "ask": "tree: waits and wakes",
    "request": "tree: waits and wakes",
    "reply": "tree: waits and wakes",
}
_START: Final = "tree: start"
# The name of a tree's process, and of its library.
_TREE: Final = "tree.so"
_LINE: Final = re.compile(r"^\s*[0-9a-f]+ (?P<symbol>\S+)(?:\+0x[0-9a-f]+)? \((?P<file>.*)\)$", re.MULTILINE)
_HERTZ: Final = 499


def sampled_parts(pure: bool, programs: int, *versions: str) -> dict[str, float]:
    """Return per cent of the time by part, from a separate process and the trees' processes under perf.

    :param pure: in plain Python, which perf cannot attribute to parts
    :returns: {} if perf is missing or not permitted, or in plain Python
    """
    if pure:
        return {}
    stacks = stacks_of(["-P", "-m", "fuzz.benchmark.mix", str(programs), "all", *versions], "comm,ip,sym,dso", _HERTZ)
    return ranked(parts(stacks, list(native.choose().files))) if stacks else {}


def parts(stacks: Iterable[str], modules: list[str]) -> dict[str, float]:
    """Return the number of samples by part.

    :param stacks: the process name, then one frame per line, the innermost first, as printed by ``perf script``
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
    """Return the part of a sample of the Python process: that of the innermost compiled function."""
    module = innermost(stack, names)
    fit = max((name for name in _PYTHON if f"{module}.".startswith(f"{name}.")), key=len, default="")
    return _PYTHON.get(fit, _OTHER)


def part_of_tree(stack: str) -> str:
    """Return the part of a sample of a tree's process: that of the innermost function of the library."""
    for line in _LINE.finditer(stack):
        if line["file"].endswith(_TREE):
            return _NATIVE[max((name for name in _NATIVE if line["symbol"].startswith(name)), key=len)]
    return _START
