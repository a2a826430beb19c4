# SPDX-License-Identifier: GPL-2.0-only
"""Whether compiled modules are used, and which. Standard library only; never compiled itself.

``s2fuzz build`` compiles modules of reference/, candidate/ and fuzz/ as one
mypyc group into a folder of build/native/, and writes `MANIFEST` last: the folder, and a digest of
each source. The sources decide:

* each compiled module of reference/ and fuzz/ must be as it was built, or all run as plain Python;
* candidate/ is compiled only as a whole, but for what the build left interpreted: if a
  file in it is new, changed or gone, all of it runs as plain Python on the compiled rest;
* ``S2FUZZ_PURE=1`` in the environment asks for plain Python.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

HOME: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = HOME / "build" / "native"
MANIFEST: Final = FOLDER / "manifest.json"
# Name of the shared library that holds the code of all modules.
LIBRARY: Final = "s2fuzz__mypyc"
FORMAT: Final = 1
# What stands beside the candidates and looks at them, or builds one; like registries (``__init__.py``) never compiled.
INSPECTION: Final = ("candidate/inspection/", "candidate/tree/build", "candidate/tree/opening.py")
OUT_OF_DATE: Final = "compiled build is out of date: run `s2fuzz build`"


@dataclass(frozen=True)
class Choice:
    """What is used.

    :param mypyc: version of the compiler; "" where all is plain Python
    :param files: compiled modules by name
    :param remark: one line on a build that is not used as a whole; "" if there is nothing to say
    """

    mypyc: str = ""
    files: dict[str, str] = field(default_factory=dict)
    remark: str = ""


class Finder(MetaPathFinder):
    """Finds the compiled modules.

    :param files: module name -> extension module
    """

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self.files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


def digest(source: Path) -> str:
    """What tells one version of a source from another; "" if it cannot be read."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError:
        return ""


def candidate_sources() -> set[str]:
    """The modules of candidate/, as paths below `HOME`, without what is never compiled."""
    return {
        path.relative_to(HOME).as_posix()
        for path in (HOME / "candidate").rglob("*.py")
        if path.name != "__init__.py" and not path.relative_to(HOME).as_posix().startswith(INSPECTION)
    }


def module_of(source: str) -> str:
    """Module name of a path below `HOME`."""
    return source.removesuffix(".py").replace("/", ".")


def wanted() -> bool:
    """Whether the environment leaves the choice to us."""
    return os.environ.get("S2FUZZ_PURE", "0") in ("", "0")


def choose() -> Choice:
    """What this process should use, by the files on disk."""
    if not wanted():
        return Choice()
    try:
        manifest = json.loads(MANIFEST.read_bytes())
        if manifest["format"] != FORMAT or manifest["suffix"] != EXTENSION_SUFFIXES[0]:
            return Choice(remark=OUT_OF_DATE)
        sources: dict[str, str] = manifest["sources"]
        # What `s2fuzz build` left out of candidate/ on purpose.
        interpreted: dict[str, str] = manifest.get("interpreted", {})
        known = {**sources, **interpreted}
        mypyc: str = manifest["mypyc"]
        folder = FOLDER / manifest["folder"]
    except FileNotFoundError:
        return Choice()
    except (OSError, ValueError, LookupError, TypeError):
        return Choice(remark=OUT_OF_DATE)
    changed = {source for source, old in known.items() if digest(HOME / source) != old}
    files = {module_of(source): folder / f"{source.removesuffix('.py')}{EXTENSION_SUFFIXES[0]}" for source in sources}
    files[LIBRARY] = folder / f"{LIBRARY}{EXTENSION_SUFFIXES[0]}"
    if any(not source.startswith("candidate/") for source in changed) or not all(map(Path.exists, files.values())):
        return Choice(remark=OUT_OF_DATE)
    remark = ""
    compiled = {source for source in sources if source.startswith("candidate/")}
    if changed or candidate_sources() != compiled | interpreted.keys():
        for source in compiled:
            del files[module_of(source)]
        remark = "candidate/ has changed since the build and runs interpreted: `s2fuzz build` compiles it"
    return Choice(mypyc, {name: str(file) for name, file in files.items()}, remark)


def activate() -> Choice:
    """Make imports find what `choose` says; before any other module of ours is imported."""
    choice = choose()
    if not choice.mypyc:
        return choice
    finder = Finder(choice.files)
    sys.meta_path.insert(0, finder)
    try:
        __import__(LIBRARY)
    except ImportError:
        # Built on another machine, say: the sources run anywhere.
        sys.meta_path.remove(finder)
        return Choice(remark=OUT_OF_DATE)
    return choice


CHOICE: Final = activate()
