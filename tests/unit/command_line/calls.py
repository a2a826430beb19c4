# SPDX-License-Identifier: GPL-2.0-only
"""Helpers that run commands in this process, with example inputs and expected output."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..console import Result

# A function that runs a command with these arguments.
Call = Callable[..., Result]
# The line printed before rfc-v1 runs, and the one printed before the original runs against itself.
CHANGES = "s2fuzz: rfc-v1 (on rfc-v1-3) overrides user_mem_abort; adds nothing\n"
SAME = "s2fuzz: original changes nothing: both sides run the code of original\n"


def write(text: str | bytes, name: str = "p.s2") -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def answer(result: Result) -> Any:
    """Return the JSON object that a command printed."""
    return json.loads(result[1])


def told_first(err: str) -> str:
    """Return stderr without the findings, which are printed when they are found."""
    return re.sub(r"^s2fuzz: program \d+: .*\n", "", err, flags=re.MULTILINE)
