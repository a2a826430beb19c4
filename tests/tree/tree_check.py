# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz tree check`` under test: its result, what it leaves in the cache, and a compiler that only pretends."""

from pathlib import Path
from typing import Final

import pytest

from ..unit.console import Result, in_process

# A compiler that answers queries as gcc does, but runs another command when it should compile.
FAKE: Final = """\
#!/bin/sh
case "$*" in
*-dM*|*-print-file-name*) exec gcc "$@";;
esac
{}
"""


def check(tree: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Result:
    """Run ``s2fuzz tree check``."""
    return in_process(capsys, "tree", "check")(str(tree), *options)


def left(cache: Path) -> list[str]:
    """Return the entries of the cache folder."""
    return sorted(each.name for each in cache.iterdir()) if cache.exists() else []


def fake(folder: Path, does: str) -> Path:
    """Make a compiler that runs this command when it should compile."""
    compiler = folder / "fake-gcc"
    compiler.write_text(FAKE.format(does))
    compiler.chmod(0o755)
    return compiler
