# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz build --candidate FILE``: compiles the group anew together with an outside file.

A class that is compiled separately cannot derive from compiled ones, so the whole group is compiled. The
result lies beside the main build, named by a digest of all its sources, and serves processes
that run the file.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import candidate
from candidate import Candidate
from candidate.registry.files import modules_of
from candidate.registry.imports import imported
from candidate.registry.source_paths import shown_path, source_of
from reference.compiled import choice as native
from reference.stores import plain_store

from ..distribution import home_folder
from ..files import write_atomically
from .build import BuildError, build, digests, manifest, possible, run_compiler
from .group import interpreted, sources
from .staging import staged

# Number of builds with outside files to keep; each is as large as the whole build.
KEPT: Final = 3


def build_with(name: str, force: bool = False, thorough: bool = False) -> str:
    """Compile the group with a file in it, unless such a build exists.

    :param name: name of the file; for a registered version this is `fuzz.compilation.build.build`
    :param force: compile in any case
    :param thorough: optimise for speed
    :returns: one line on what was done
    :raises BuildError: it is not possible, or it failed
    :raises candidate.RefusedCandidateError: the file cannot be a candidate
    """
    version = candidate.get(name)
    if not candidate.is_file(version.name):
        return build(force, thorough)
    paths = outside_sources(version)
    check_stores(paths)
    with possible():
        outside, files = outside_digests(paths), sources()
        built, c_files = digests(files), digests(native.c_sources())
        place = native.FOLDER / f"{native.WITH}{key_of({**outside, **built, **c_files})}"
        there = native.choice_of(place / "manifest.json")
        if not force and there.mypyc and not there.remark and is_thorough(place) >= thorough:
            os.utime(place)
            return f"the compiled build with {version.name} is up to date"
        print(
            f"s2fuzz: compiling {len(files) + len(paths)} modules, including {version.name}",
            file=sys.stderr,
            flush=True,
        )
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=native.FOLDER))
        try:
            inside = {native.module_of_file(path).replace(".", "/") + ".py": path for path in paths}
            run_compiler(folder, [*files, *inside], staged(folder, inside), thorough)
            if (digests(files), digests(native.c_sources()), outside_digests(paths)) != (built, c_files, outside):
                raise BuildError("sources changed during the build: run `s2fuzz build` again")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            os.rename(folder / "out", place / "group")
            write_atomically(place / "manifest.json", manifest("group", built, c_files, outside, thorough))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        forget_old()
    return f"compiled {len(files) + len(paths)} modules, including {version.name}, into {place}"


def is_thorough(place: Path) -> bool:
    """Return whether a build was optimised for speed.

    :param place: the folder of a complete build
    """
    return bool(json.loads((place / "manifest.json").read_bytes()).get("thorough"))


def outside_sources(version: Candidate) -> list[Path]:
    """Return the file of a version, and the files in its folder that it imports, sorted."""
    found = {source_of(module) for module in modules_of(version) if module.startswith(native.OUTSIDE)}
    left = list(found)
    while left:
        for path in imported(left.pop()) - found:
            if not path.is_relative_to(home_folder() / "candidate"):
                found.add(path)
                left.append(path)
    return sorted(found)


def check_stores(paths: list[Path]) -> None:
    """Check that files can be compiled: compiled code would hide a plain store to a table (`reference.stores`).

    :raises BuildError: one has such a store, or builds on a version that stays interpreted
    """
    plain = interpreted()
    for path in paths:
        line = plain_store(path.read_bytes())
        if line:
            wrong = "it may store to a table without WRITE_ONCE, which compiled code would hide"
            raise BuildError(f"{shown_path(path)}:{line}: {wrong}; it runs interpreted, with the same results")
        for base in sorted(imported(path)):
            if shown_path(base) in plain:
                wrong = f"it imports {shown_path(base)}, which stays interpreted"
                raise BuildError(f"{shown_path(path)}: {wrong}; it stays interpreted too, with the same results")


def outside_digests(paths: list[Path]) -> dict[str, str]:
    """Return digests of files by path."""
    return {str(path): native.digest(path) for path in paths}


def key_of(digests: Mapping[str, str]) -> str:
    """Return the key of a build from the digests of its sources."""
    text = "\n".join(f"{source} {digest}" for source, digest in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def forget_old() -> None:
    """Delete all builds with outside files except the last `KEPT`."""
    there = sorted(native.FOLDER.glob(f"{native.WITH}*"), key=lambda path: path.stat().st_mtime)
    for old in there[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
