# SPDX-License-Identifier: GPL-2.0-only
"""Candidates in outside files, which need no registration.

A file becomes a module of the package ``candidate``, under a name derived from its path
(`reference.compiled.choice.module_of_file`), so that all processes use the same name. The files of a folder
form a package: ``from .my_base import PgtableMyBase`` imports a file in the same folder.
"""

import ast
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from reference.compiled.choice import HOME, OUTSIDE, is_file_name, module_of_file

from ..tree import PREFIX, with_absolute_path
from .declaration import CANDIDATE, Candidate, declarations
from .errors import DeclarationError, RefusedFileError
from .import_trial import try_import
from .meant import path_meant
from .source_paths import note, shown_path, source_of

_WANTED: Final = "the path of a Python file that ends in its declaration"
# Environment variable: the outside files that this process, or one that started it, has imported, as JSON; with the
# state of each.
_TRIED: Final = "S2FUZZ_IMPORTED"


class _Loader(SourceFileLoader):
    """Compiles a file each time: nothing is cached, so that the user's folders stay unchanged."""

    def get_code(self, fullname: str) -> CodeType:
        try:
            return self.source_to_code(self.get_data(self.path), self.path)
        except ValueError as error:
            # Null bytes: a ValueError until Python 3.11.4, a SyntaxError later. No SyntaxError is a ValueError.
            raise SyntaxError(str(error), (self.path, 1, None, None)) from None


class _Finder(MetaPathFinder):
    """Finds outside files, and files in the same folder that they import.

    *folders*: package name -> folder
    """

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}

    def add(self, path: Path) -> str:
        """Make a file importable.

        :returns: the name of its module
        """
        module = module_of_file(path)
        self.folders[module.rpartition(".")[0]] = path.parent
        note(module, path)
        return module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self.folders:
            return ModuleSpec(fullname, None, is_package=True)
        package, _, stem = fullname.rpartition(".")
        folder = self.folders.get(package)
        if folder is None:
            return None
        file = source_of(fullname)
        if file.parent != folder:
            file = folder / f"{stem}.py"
        if not file.is_file():
            return None
        note(fullname, file)
        return spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file)))


_FINDER: Final = _Finder()
# After the finder of compiled modules, which may have the file too.
sys.meta_path.append(_FINDER)


def canonical(name: str) -> str:
    """Return the canonical spelling of a file's name, relative to the current directory if *name* is."""
    if os.path.isabs(name):
        return os.path.normpath(name)
    plain = os.path.normpath(name)
    return plain if plain.startswith("..") else f"./{plain}"


def path_of(name: str) -> Path:
    """Return the file that a name means, relative to the current directory, or else to the checkout.

    :raises RefusedFileError: there is none
    """
    try:
        here = Path(os.path.abspath(name))
        choices = [here] if os.path.isabs(name) else [here, HOME / name]
        path = next((each for each in choices if each.exists()), here)
        wrong = _misplaced(path)
    except (OSError, ValueError) as error:
        wrong = getattr(error, "strerror", None) or str(error)
    if wrong:
        raise RefusedFileError(f"candidate {name}: {wrong}{path_meant(name)}; give {_WANTED}")
    return path.resolve()


def _misplaced(path: Path) -> str:
    """Explain why a path is not a source; "" if it is one."""
    if not path.exists():
        return "no such file"
    if path.is_dir():
        return "a directory"
    if path.suffix != ".py":
        return "its name does not end in .py"
    if not path.is_file():
        return "not a regular file"
    return "" if os.access(path, os.R_OK) else "it cannot be read"


def load(path: Path, name: str) -> Candidate:
    """Return the version that a file declares.

    :param path: as returned by `path_of`
    :param name: name of the version
    :raises RefusedFileError: the file cannot be imported, or does not declare one version
    """
    module = _imported(_FINDER.add(path))
    place = f"{shown_path(path)}:{_declaration_line(path)}"
    try:
        found = declarations(module, Candidate, CANDIDATE, place)
    except DeclarationError as error:
        raise RefusedFileError(str(error)) from None
    if len(found) != 1:
        raise RefusedFileError(f"{place}: {len(found)} declarations: a candidate file must declare exactly one version")
    return _named(found[0], name)


def beside(version: Candidate) -> list[Candidate]:
    """Return the imported versions in files of the same folder as *version*, which may build on them."""
    packages = {module.rpartition(".")[0] for module in modules_of(version) if module.startswith(OUTSIDE)}
    found: list[Candidate] = []
    for module, there in sorted(sys.modules.items()):
        declared = getattr(there, CANDIDATE, None) if module.rpartition(".")[0] in packages else None
        if isinstance(declared, Candidate) and declared.parts != version.parts:
            found.append(_named(declared, canonical(shown_path(source_of(module)))))
    return found


def modules_of(version: Candidate) -> list[str]:
    """Return the modules of the classes of a version."""
    return list(dict.fromkeys(each.__module__ for top in version.parts for each in top.__mro__))


def anywhere(name: str) -> str:
    """Return the name of a version for use in any folder: for a kernel tree, with its absolute path."""
    return with_absolute_path(name) if name.startswith(PREFIX) else name


def portable(name: str) -> str:
    """Return the name of a version for use in a command run in the checkout."""
    if not is_file_name(name):
        return anywhere(name)
    try:
        path = path_of(name)
    except RefusedFileError:
        return name
    return f"./{path.relative_to(HOME).as_posix()}" if path.is_relative_to(HOME) else str(path)


def _named(version: Candidate, name: str) -> Candidate:
    return Candidate(
        name,
        version.pgtable,
        version.mmu,
        version.origin,
        version.adds,
        version.order,
        tlb=version.tlb,
        nvhe=version.nvhe,
        caps=version.caps,
    )


def _imported(module: str) -> ModuleType:
    source = source_of(module)
    if module not in sys.modules and not _is_tried(source):
        end = try_import(lambda: import_module(module), lambda file: Path(file).parent == source.parent)
        if end is not None:
            place = f"{shown_path(Path(end.file or source))}:{end.line or 1}"
            remedy = "the file must import without ending its process; fix that line"
            raise RefusedFileError(f"{place}: the process that imported it ended {end.how}; {remedy}")
    try:
        imported = import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = _failed_at(error, source)
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        wrong = " ".join(f"{type(error).__name__}: {said}".split())
        raise RefusedFileError(f"{place}: {wrong}; the file must import without an error; fix that line") from error
    _note_tried(module)
    return imported


def _is_tried(source: Path) -> bool:
    """Return whether this process or one that started it has imported a file, and its folder's files are unchanged."""
    tried = _tried()
    beside = [file for file in tried if os.path.dirname(file) == str(source.parent)]
    return str(source) in tried and all(_changed_at(file) == tried[file] for file in beside)


def _note_tried(module: str) -> None:
    """Note, for processes that this one starts, that a file and those that it imports do not end their process."""
    package = f"{module.rpartition('.')[0]}."
    files = [str(source_of(each)) for each in sys.modules if each.startswith(package)]
    os.environ[_TRIED] = json.dumps({**_tried(), **{file: _changed_at(file) for file in files}})


def _tried() -> dict[str, list[int]]:
    known: dict[str, list[int]] = json.loads(os.environ.get(_TRIED, "{}"))
    return known


def _changed_at(file: str) -> list[int]:
    """Return what differs after a change of a file."""
    try:
        now = os.stat(file)
    except OSError:
        return []
    return [now.st_mtime_ns, now.st_size, now.st_ino]


def _failed_at(error: BaseException, path: Path) -> str:
    """Return ``file:line`` of the innermost code where an import failed, in the file or in one of its folder."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
    for name, line in reversed(frames):
        if Path(name).parent == path.parent:
            return f"{shown_path(Path(name))}:{line or 1}"
    return f"{shown_path(path)}:1"


def _declaration_line(path: Path) -> int:
    """Return the line of a file's declaration.

    :raises RefusedFileError: there are two
    """
    lines = [
        node.lineno
        for node in ast.parse(path.read_bytes()).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == CANDIDATE
    ]
    if len(lines) > 1:
        shown = shown_path(path)
        raise RefusedFileError(f"{shown}:{lines[1]}: a second declaration, the first is in line {lines[0]}: keep one")
    return lines[0] if lines else 1
