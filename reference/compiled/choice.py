# SPDX-License-Identifier: GPL-2.0-only
"""The choice of the compiled modules to use, if any. Standard library only; never compiled itself.

``s2fuzz build`` compiles modules of reference/, candidate/ and fuzz/ as one mypyc group into a subfolder of `FOLDER`.
It writes `MANIFEST` last, which holds the subfolder and a digest of each source. The sources decide:

* each compiled module of reference/ and fuzz/ must match its source digest, or all run as plain Python;
* candidate/ is compiled only as a whole, except for the modules that the build left interpreted: if a
  file in it is new, changed or gone, all of it runs as plain Python on the compiled rest;
* our C code that is compiled with the modules (`c_sources`) counts as a module of fuzz/;
* ``S2FUZZ_FILES`` in the environment names outside files that will run: a group that includes
  them (``s2fuzz build --candidate FILE``) is tried first;
* ``S2FUZZ_PURE=1`` in the environment requests plain Python.

The folder is build/native/ in a checkout. After an ordinary install it lies in the user's cache folder, named by a
digest of the sources, so that installations of the same version share it.
"""

import hashlib
import json
import keyword
import os
import re
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
CHECKOUT: Final = (HOME / "setup.cfg").is_file()


def digest(source: Path) -> str:
    """Return the digest that identifies one version of a source; "" if it cannot be read."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError:
        return ""


def c_sources() -> list[str]:
    """Return our C files that are compiled with the modules, as paths below `HOME`, sorted."""
    files = (HOME / "fuzz" / "compilation").glob("*.[ch]")
    return sorted(path.relative_to(HOME).as_posix() for path in files)


def build_folder() -> Path:
    """Return the folder of the builds."""
    if CHECKOUT:
        return HOME / "build" / "native"
    total = hashlib.sha256(EXTENSION_SUFFIXES[0].encode())
    # Without candidate/: adding a version there leaves the rest compiled.
    modules = sorted(path for tree in ("reference", "fuzz") for path in (HOME / tree).rglob("*.py"))
    for source in [*modules, *(HOME / name for name in c_sources())]:
        total.update(f"{source.relative_to(HOME).as_posix()} {digest(source)}\n".encode())
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "s2fuzz" / f"native-{total.hexdigest()[:16]}"


FOLDER: Final = build_folder()
MANIFEST: Final = FOLDER / "manifest.json"
# Environment variable: paths of outside files, separated as in PATH.
FILES_VARIABLE: Final = "S2FUZZ_FILES"
# Prefix of the subfolders of `FOLDER` with groups that include outside files, each with its own manifest.
WITH: Final = "with-"
# Name of the shared library with the code of all modules.
LIBRARY: Final = "s2fuzz__mypyc"
# Version of the format of the manifest, and of the files derived from the sources.
FORMAT: Final = 4
# The modules that declare, find, inspect or build candidates; never compiled, as ``__init__.py``.
UNCOMPILED: Final = (
    *("candidate/inspection/", "candidate/registry/", "candidate/bugs/"),
    *("candidate/tree/bound.py", "candidate/tree/building/", "candidate/tree/facts.py"),
    *("candidate/tree/library.py", "candidate/tree/opening.py"),
)
# Prefix of the package names of outside files, one package per folder; the rest is derived from the path.
OUTSIDE: Final = "candidate.file_"
# Prefix of the name of a version that is a kernel tree; its path follows.
TREE: Final = "tree:"
# Suffix of the path of a kernel tree that is built with sanitizers.
SANITIZE: Final = ":sanitize"
OUT_OF_DATE: Final = "compiled build is out of date: run `s2fuzz build`"


@dataclass(frozen=True)
class Choice:
    """The choice for this process.

    :param mypyc: version of the compiler; "" if everything is plain Python
    :param files: compiled modules by name
    :param remark: one line about a build that is not used as a whole; "" if there is nothing to report
    """

    mypyc: str = ""
    files: dict[str, str] = field(default_factory=dict)
    remark: str = ""


class Finder(MetaPathFinder):
    """Import finder for the compiled modules.

    :param files: module name -> extension module
    """

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self.files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


def candidate_sources() -> set[str]:
    """Return the modules of candidate/ as paths below `HOME`, without the modules that are never compiled."""
    return {
        path.relative_to(HOME).as_posix()
        for path in (HOME / "candidate").rglob("*.py")
        if path.name != "__init__.py" and not path.relative_to(HOME).as_posix().startswith(UNCOMPILED)
    }


def module_of(source: str) -> str:
    """Return the module name of a path below `HOME`."""
    return source.removesuffix(".py").replace("/", ".")


def is_file_name(name: str) -> bool:
    """Return whether the name of a version means an outside file rather than a registered version."""
    return ("/" in name or name.endswith(".py")) and not name.startswith(TREE)


def module_of_file(path: Path) -> str:
    """Return the module name of an outside file.

    :param path: absolute, without symbolic links
    """
    folder = hashlib.sha256(os.fsencode(path.parent)).hexdigest()[:10]
    stem = path.stem
    if not stem.isidentifier() or keyword.iskeyword(stem):
        stem = f"m_{re.sub(r'[^A-Za-z0-9_]', '_', stem)}_{hashlib.sha256(os.fsencode(stem)).hexdigest()[:6]}"
    return f"{OUTSIDE}{folder}.{stem}"


def wanted() -> bool:
    """Return whether the environment leaves the choice to `choose`."""
    return os.environ.get("S2FUZZ_PURE", "0") in ("", "0")


def choose() -> Choice:
    """Choose compiled or plain modules for this process from the files on disk."""
    if not wanted():
        return Choice()
    asked = {module_of_file(path) for path in named_files()}
    if asked:
        for manifest in sorted(FOLDER.glob(f"{WITH}*/manifest.json")):
            choice = choice_of(manifest)
            if choice.mypyc and not choice.remark and asked <= choice.files.keys():
                return choice
    return choice_of(MANIFEST)


def named_files() -> list[Path]:
    """Return the outside files that the environment names."""
    paths = [Path(name) for name in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if name]
    return [path for path in paths if path.is_absolute() and path.is_file()]


def choice_of(file: Path) -> Choice:
    """Choose compiled or plain modules for this process by one manifest.

    :param file: the manifest, which lies beside the folder that it names
    """
    try:
        manifest = json.loads(file.read_bytes())
        if manifest["format"] != FORMAT or manifest["suffix"] != EXTENSION_SUFFIXES[0]:
            return Choice(remark=OUT_OF_DATE)
        sources: dict[str, str] = manifest["sources"]
        # The modules of candidate/ that `s2fuzz build` left out on purpose.
        interpreted: dict[str, str] = manifest.get("interpreted", {})
        # Outside files by absolute path.
        outside: dict[str, str] = manifest.get("outside", {})
        known = {**sources, **manifest["c"], **interpreted, **outside}
        mypyc: str = manifest["mypyc"]
        folder = file.parent / manifest["folder"]
    except FileNotFoundError:
        return Choice()
    except (OSError, ValueError, LookupError, TypeError):
        return Choice(remark=OUT_OF_DATE)
    changed = {source for source, old in known.items() if digest(HOME / source) != old}
    modules = [module_of(source) for source in sources] + [module_of_file(Path(path)) for path in outside]
    files = {module: folder / f"{module.replace('.', '/')}{EXTENSION_SUFFIXES[0]}" for module in modules}
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
    """Make imports find the modules that `choose` selects; call this before importing any other module of ours."""
    choice = choose()
    if not choice.mypyc:
        return choice
    finder = Finder(choice.files)
    sys.meta_path.insert(0, finder)
    try:
        __import__(LIBRARY)
    except ImportError:
        # For example built on another machine: the sources run anywhere.
        sys.meta_path.remove(finder)
        return Choice(remark=OUT_OF_DATE)
    return choice


CHOICE: Final = activate()
