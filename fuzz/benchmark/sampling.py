# SPDX-License-Identifier: GPL-2.0-only
"""Stacks of a Python process and of its children, sampled by perf."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from reference.compiled import choice as native


def stacks_of(arguments: Sequence[str], fields: str, hertz: int) -> list[str]:
    """Run Python under perf; return the stacks, as ``perf script`` prints them.

    :param arguments: of Python
    :param fields: that a stack has, as of ``perf script -F``
    :param hertz: samples a second
    :returns: nothing where perf is not there or not allowed
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
