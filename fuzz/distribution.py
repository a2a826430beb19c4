# SPDX-License-Identifier: GPL-2.0-only
"""The distribution: its version, its form (compiled or interpreted), and a check that its packages belong together."""

import os
import platform
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from .suggestions import suggestion

VERSION: Final = "0.1.0"
PACKAGES: Final = ("reference", "candidate", "fuzz")


class ForeignPackageError(Exception):
    """Python would import another project's package in place of one of ours."""


class BrokenCandidateError(Exception):
    """A module of ``candidate/`` cannot be imported; the message is one line with place and cause."""


def form() -> str:
    """Return the form (compiled or interpreted) in which the code under test and the checkers run."""
    native = sys.modules.get("reference.compiled.choice")
    mypyc = native.CHOICE.mypyc if native is not None else ""
    how = f"compiled (mypyc {mypyc})" if mypyc else "interpreted"
    return f"{how}, {platform.python_implementation()} {platform.python_version()}"


def remark() -> str:
    """Return one line on a compiled build that exists but is not fully used; "" if there is nothing to report."""
    native = sys.modules.get("reference.compiled.choice")
    return native.CHOICE.remark if native is not None else ""


def debugging() -> bool:
    """Tell whether the user wants tracebacks of our own mistakes: ``S2FUZZ_DEBUG=1``."""
    return os.environ.get("S2FUZZ_DEBUG") == "1"


def home_folder() -> Path:
    """Return the folder that holds the packages: the checkout."""
    return Path(__file__).resolve().parent.parent


def how_to_install(extra: str) -> str:
    """Return the instruction that installs the packages of an extra, in a checkout or from a wheel."""
    if (home_folder() / "setup.cfg").is_file():
        return f"run `pip install -e '.[{extra}]'` in the checkout"
    return f"install s2fuzz with them: `pip install 'WHEEL[{extra}]'`, or `pipx install --force 'WHEEL[{extra}]'`"


@cache
def corpus_folder() -> Path:
    """Return the folder of the programs that ship with s2fuzz, in the checkout or in the installed distribution."""
    beside = home_folder() / "corpus"
    if not beside.is_dir():
        with suppress(PackageNotFoundError):
            for file in distribution("s2fuzz").files or ():
                if file.suffix == ".s2" and file.parts[-3:-1] == ("corpus", "seeds"):
                    return Path(str(file.locate())).resolve().parents[1]
    return beside


def check_packages() -> None:
    """Check that Python finds `PACKAGES` beside this file, without importing them.

    The package names are generic: another project on the path may use the same ones.

    :raises ForeignPackageError: a package is missing or belongs to another project; one line that gives the place
    """
    home = home_folder()
    for name in PACKAGES:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise ForeignPackageError(f"package {name!r} is missing; use the one in {home}")
        found = Path(spec.origin).resolve() if spec.origin else None
        if found != home / name / "__init__.py":
            where = spec.origin or "a folder without __init__.py"
            raise ForeignPackageError(f"package {name!r} is another project's: {where}; use the one in {home}")


def check_candidates() -> None:
    """Import `candidate`, which imports every version of the kernel code.

    :raises BrokenCandidateError: one of the versions has a mistake
    """
    try:
        with refusing_exit():
            import_module("candidate")
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if hasattr(error, "place"):
            # A declaration: its message already begins with file and line.
            raise BrokenCandidateError(str(error)) from None
        place = candidate_line(error)
        if not place:
            raise
        if debugging():
            traceback.print_exc()
        said = error.msg if isinstance(error, SyntaxError) else f"{error}{suggestion(error)}"
        wrong = " ".join(f"{type(error).__name__}: {said}".split())
        raise BrokenCandidateError(f"{place}: {wrong}; fix it, or remove it from candidate/") from None


@contextmanager
def refusing_exit() -> Iterator[None]:
    """Turn `os._exit` into an exception, which has a place; an exit would end the command without a word."""
    leave = os._exit

    def refuse(status: int) -> NoReturn:
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = leave


def candidate_line(error: BaseException) -> str:
    """Return ``candidate/<module>.py:<line>`` of a failed import; "" if the mistake is ours."""
    home = home_folder()
    frames = [(frame.filename, frame.lineno, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno, "<module>"))
    for name, line, function in reversed(frames):
        file = Path(name).resolve()
        # If the registry refuses something, the mistake is its caller's.
        if file == home / "candidate" / "__init__.py" and function != "<module>":
            continue
        if any(file.is_relative_to(home / "candidate" / name) for name in ("inspection", "registry")):
            continue
        if file.is_relative_to(home / "candidate"):
            return f"{file.relative_to(home)}:{line or 1}"
        if file.is_relative_to(home) and function == "<module>":
            return ""
    return ""
