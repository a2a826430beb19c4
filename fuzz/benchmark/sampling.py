# SPDX-License-Identifier: GPL-2.0-only
"""Stacks of a Python process and of its children, sampled by perf."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Final

from reference.compiled import choice as native

# A frame of compiled code: its name begins with the shortest unique name of its module.
_FRAME: Final = re.compile(r"CPy(?:Def|Py)_(\w+)")
# This frame is in each stack of judging; other stacks are Python's start.
JUDGING: Final = "CPyDef_differential___Differential___run"


def short_names(modules: Iterable[str]) -> dict[str, str]:
    """Return modules by each prefix that names of their functions in frames may have."""
    return {
        "___".join(module.split(".")[start:]): module for module in modules for start in range(module.count(".") + 1)
    }


def innermost(stack: str, names: dict[str, str]) -> str:
    """Return the compiled module of the innermost compiled function of a stack; "" if there is none.

    :param names: result of `short_names`
    """
    frame = _FRAME.search(stack)
    words = frame[1].split("___") if frame else []
    shorter = ("___".join(words[:length]) for length in range(len(words), 0, -1))
    return next((names[name] for name in shorter if name in names), "")


def stacks_of(arguments: Sequence[str], fields: str, hertz: int) -> list[str]:
    """Run Python under perf; return the stacks, as ``perf script`` prints them.

    :param arguments: arguments of Python
    :param fields: fields of a stack, as for ``perf script -F``
    :param hertz: samples per second
    :returns: nothing if perf is missing or not allowed
    """
    perf = shutil.which("perf")
    if perf is None:
        return []
    environment = {**os.environ, "PYTHONPATH": str(native.HOME)}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        record = [perf, "record", "-q", "-o", data, "-F", str(hertz), "--call-graph", "dwarf,8192", "--"]
        script = [perf, "script", "-i", data, "-F", fields]
        try:
            subprocess.run([*record, sys.executable, *arguments], env=environment, capture_output=True, check=True)
            said = subprocess.run(script, capture_output=True, text=True, errors="replace", check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return []
    return said.split("\n\n")
