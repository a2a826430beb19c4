# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz build``: compiles the hot modules as one group, in the place where `reference.compiled.choice` finds it.

Each build goes to its own folder, which is used only after the manifest names
it. An interrupted build is therefore never used. Only one build runs at a time. Processes that
run meanwhile keep the modules that they loaded.
"""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from reference.compiled import choice as native

from ..distribution import how_to_install
from ..files import write_atomically
from .group import interpreted, sources
from .progress import BuildProgress
from .staging import staged

LOCK: Final = native.FOLDER / "lock"
LOG: Final = native.FOLDER / "log"
CACHE: Final = native.FOLDER / "mypy-cache"


class BuildError(Exception):
    """A compiled build is not possible; one line that gives the reason."""


def obstacle() -> str:
    """Explain what this machine lacks for a build; "" if a build can be tried."""
    for module in ("mypyc", "setuptools"):
        if find_spec(module) is None:
            return f"no {module} in this Python; {how_to_install('build')}"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if not compiler or shutil.which(compiler[0]) is None:
        return f"no C compiler ({' '.join(compiler)})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"no Python headers ({header})"
    return ""


def build(force: bool = False, thorough: bool = False) -> str:
    """Compile, unless the existing build is current.

    :param force: compile in any case
    :param thorough: optimise for speed; an existing thorough build also counts as current without it
    :returns: one line on what was done
    :raises BuildError: it is not possible, or it failed
    """
    with possible():
        if not force and current(thorough):
            return "the compiled build is up to date"
        files = sources()
        say_interpreted()
        return compile_all(files, thorough)


def say_interpreted() -> None:
    """Report on stderr which modules are not compiled, and why."""
    for source, reason in interpreted().items():
        print(f"s2fuzz: {source} stays interpreted: {reason}", file=sys.stderr)


@contextmanager
def possible() -> Iterator[None]:
    """Hold the build lock, if a build is possible.

    :raises BuildError: a build is not possible, or a system call failed
    """
    lacking = obstacle()
    if lacking:
        raise BuildError(f"cannot compile: {lacking}; everything runs as plain Python, with the same results")
    try:
        with locked():
            yield
    except OSError as error:
        raise BuildError(f"cannot compile: {error.filename}: {error.strerror}") from None


def current(thorough: bool) -> bool:
    """Return whether the existing build is what a new one would produce, or a thorough build of the same sources."""
    try:
        manifest = json.loads(native.MANIFEST.read_bytes())
        return bool(
            manifest["format"] == native.FORMAT
            and manifest["suffix"] == EXTENSION_SUFFIXES[0]
            and manifest["sources"] == digests(sources())
            and manifest["c"] == digests(native.c_sources())
            and manifest.get("interpreted", {}) == digests(list(interpreted()))
            and manifest.get("thorough", False) >= thorough
            and (native.FOLDER / manifest["folder"]).is_dir()
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def digests(files: list[str]) -> dict[str, str]:
    """Return the digests of sources in the form of the manifest."""
    return {source: native.digest(native.HOME / source) for source in files}


@contextmanager
def locked() -> Iterator[None]:
    """Hold the build lock, which the system releases when the process ends."""
    native.FOLDER.mkdir(parents=True, exist_ok=True)
    with open(LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_all(files: list[str], thorough: bool) -> str:
    """Compile, then publish the result in the manifest; delete older folders except the previous one.

    :param thorough: see `build`
    :raises BuildError: the compiler refused, or a source changed meanwhile
    """
    before, c_before = digests(files), digests(native.c_sources())
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=native.FOLDER))
    try:
        run_compiler(folder, files, native.HOME if native.CHECKOUT else staged(folder, {}), thorough)
        if (digests(files), digests(native.c_sources())) != (before, c_before):
            raise BuildError("sources changed during the build: run `s2fuzz build` again")
        publish(folder / "out", before, c_before, thorough)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"compiled {len(files)} modules into {native.FOLDER}"


def run_compiler(folder: Path, files: list[str], home: Path, thorough: bool = False) -> None:
    """Run `fuzz.compilation.compile` and show its progress; kill it and its children if this process is interrupted.

    :param home: folder that the paths of *files* are relative to
    :param thorough: see `build`
    :raises BuildError: it failed; the log is kept
    """
    options = ["--thorough"] if thorough else []
    command = [sys.executable, "-m", "fuzz.compilation.compile", *options, str(folder), str(CACHE), *files]
    environment = {**os.environ, "S2FUZZ_PURE": "1"}
    with (
        open(LOG, "w") as log,
        subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as child,
    ):
        progress = BuildProgress(len(files))
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if not progress.take(line):
                    log.write(line)
            status = child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            progress.clear()
    if status:
        wrong = [line for line in LOG.read_text(errors="replace").splitlines() if "error:" in line]
        raise BuildError(f"the compiler failed: {wrong[0] if wrong else f'exit code {status}'}; log: {LOG}")


def publish(made: Path, built: dict[str, str], c_files: dict[str, str], thorough: bool = False) -> None:
    """Move a finished build to its place and name it in the manifest, which is replaced atomically.

    :param built: see `manifest`; likewise *c_files* and *thorough*
    """
    try:
        last = json.loads(native.MANIFEST.read_bytes())["folder"]
    except (OSError, ValueError, LookupError, TypeError):
        last = ""
    name = made.parent.name.replace("build-", "group-")
    os.rename(made, native.FOLDER / name)
    write_atomically(native.MANIFEST, manifest(name, built, c_files, {}, thorough))
    # Keep folders that running processes may still import from; delete those of interrupted builds.
    for old in native.FOLDER.iterdir():
        if old.name.startswith(("group-", "build-")) and old.name not in (name, last, made.parent.name):
            shutil.rmtree(old, ignore_errors=True)


def manifest(
    folder: str, built: dict[str, str], c_files: dict[str, str], outside: dict[str, str], thorough: bool
) -> str:
    """Return the manifest of a build, as `reference.compiled.choice` reads it.

    :param folder: name of the folder beside the manifest
    :param built: digests by source
    :param c_files: digests of our C files, by path
    :param outside: digests of outside files, by path
    :param thorough: whether it was optimised for speed
    """
    from mypy.version import __version__ as mypyc

    about = {
        "format": native.FORMAT,
        "suffix": EXTENSION_SUFFIXES[0],
        "mypyc": mypyc,
        "folder": folder,
        "sources": built,
        "c": c_files,
        "interpreted": digests(list(interpreted())),
        "outside": outside,
        "thorough": thorough,
    }
    return json.dumps(about, indent=1)
