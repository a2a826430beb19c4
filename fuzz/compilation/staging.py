# SPDX-License-Identifier: GPL-2.0-only
"""A copy of the sources for the compiler: used without a checkout, and when outside files join the group."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from reference.compiled import choice as native
from reference.compiled.choice import OUTSIDE

from .group import PACKAGES

# The types of outside files are checked only as far as the compiler needs.
_SETTINGS: Final = f"""
[mypy-{OUTSIDE}*.*]
allow_untyped_defs = True
allow_incomplete_defs = True
allow_untyped_calls = True
allow_untyped_globals = True
allow_any_generics = True
warn_return_any = False
"""


def staged(folder: Path, outside: Mapping[str, Path]) -> Path:
    """Copy the packages, and put outside files beside the candidates.

    :param folder: receives the copy
    :param outside: place below the copy -> file
    :returns: the folder of the copy
    """
    home = folder / "sources"
    for package in PACKAGES:
        shutil.copytree(native.HOME / package, home / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for place, file in outside.items():
        target = home / place
        target.parent.mkdir(exist_ok=True)
        (target.parent / "__init__.py").touch()
        shutil.copy2(file, target)
    settings = native.HOME / "setup.cfg"
    text = settings.read_text(encoding="utf-8") if settings.is_file() else "[mypy]\nstrict = true\n"
    (home / "setup.cfg").write_text(text + (_SETTINGS if outside else ""), encoding="utf-8")
    return home
