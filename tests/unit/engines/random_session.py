# SPDX-License-Identifier: GPL-2.0-only
"""A session of the random engine in the process of the test."""

from pathlib import Path

import candidate
from fuzz.engines.summary import Keeper, Summary
from fuzz.engines.unit import Message, Result, Unit
from fuzz.language.text import parse

from ..replaying import Here
from ..run_here import run_here

ORIGINAL = candidate.get("original")
RFC_V1 = candidate.get("rfc-v1")
PROGRAMS = 15
EMPTY = parse("s2fuzz 1\nvm\nslot a size=4K backing=anon\n")


def session(seed: int = 1, out: Path | None = None, programs: int = PROGRAMS) -> Summary:
    """Run a session of the random engine in this process."""
    unit = Unit("random", "original", "rfc-v1", seed, programs)
    summary = Summary("original", "rfc-v1", seed)
    result, keeper = Result(unit), Keeper(summary, out, Here())

    def tell(message: Message) -> None:
        result.record(message)
        keeper.watch(result)

    run_here(unit, tell)
    keeper.finish(result)
    return summary


def files(folder: Path) -> dict[str, str]:
    """Return the files below a folder, without the folder's name in paths and contents."""
    return {
        str(path.relative_to(folder)): path.read_text().replace(str(folder), "")
        for path in folder.rglob("*")
        if path.is_file()
    }
