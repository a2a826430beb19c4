# SPDX-License-Identifier: GPL-2.0-only
"""Which distribution this is, in which form it runs, and whether its parts belong together."""

import os
import platform
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

VERSION: Final = "0.1.0"
PACKAGES: Final = ("reference", "candidate", "fuzz")


class ForeignPackageError(Exception):
    """One of our packages is not the one that Python would import."""


def form() -> str:
    """How the code under test and the checkers run."""
    native = sys.modules.get("reference.native")
    mypyc = native.CHOICE.mypyc if native is not None else ""
    how = f"compiled (mypyc {mypyc})" if mypyc else "interpreted"
    return f"{how}, {platform.python_implementation()} {platform.python_version()}"


def remark() -> str:
    """One line on a compiled build that is there and not used as a whole; "" if there is nothing to say."""
    native = sys.modules.get("reference.native")
    return native.CHOICE.remark if native is not None else ""


def debugging() -> bool:
    """Whether tracebacks of our own mistakes are wanted: ``S2FUZZ_DEBUG=1``."""
    return os.environ.get("S2FUZZ_DEBUG") == "1"


def check_packages() -> None:
    """See that `PACKAGES` are found where this file lies; imports none of them.

    Their names are generic: another project on the path may have the same.

    :raises ForeignPackageError: one is missing or another's; one line that says where
    """
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise ForeignPackageError(f"package {name!r} is not there; allowed: the one in {home}")
        found = Path(spec.origin).resolve() if spec.origin else None
        if found != home / name / "__init__.py":
            where = spec.origin or "a folder without __init__.py"
            raise ForeignPackageError(f"package {name!r} is another one: {where}; allowed: the one in {home}")
