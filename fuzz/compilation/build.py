# SPDX-License-Identifier: GPL-2.0-only
"""``s2fuzz build``: compiles what is hot, as one group, where `reference.compiled.choice` finds it.

All is made in a folder of its own, which counts only once the manifest names
it: an interrupted build leaves nothing that is used. One build at a time; processes that
run meanwhile keep what they have.
"""

import argparse
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

from ..exit_codes import FINE
from ..files import write_atomically
from ..reports.answers import head
from .group import interpreted, sources

LOCK: Final = native.FOLDER / "lock"
LOG: Final = native.FOLDER / "log"
CACHE: Final = native.FOLDER / "mypy-cache"


def command(arguments: argparse.Namespace) -> int:
    """``s2fuzz build``

    :raises BuildError: see `build`
    """
    done = build(arguments.force)
    if arguments.json:
        print(json.dumps({**head(), "message": done}, indent=2))
    else:
        print(done)
    return FINE


class BuildError(Exception):
    """There is no compiled form to be had; one line that says why."""


def obstacle() -> str:
    """What a build lacks on this machine; "" if it can be tried."""
    if not (native.HOME / "setup.cfg").is_file():
        return f"{native.HOME} is no checkout of s2fuzz"
    for module in ("mypyc", "setuptools"):
        if find_spec(module) is None:
            return f"no {module} in this Python: pip install -e '.[build]' in the checkout"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if not compiler or shutil.which(compiler[0]) is None:
        return f"no C compiler ({' '.join(compiler)})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"no Python headers ({header})"
    return ""


def build(force: bool = False) -> str:
    """Compile, unless what there is still fits.

    :param force: compile in any case
    :returns: one line on what was done
    :raises BuildError: it cannot be done, or failed
    """
    lacking = obstacle()
    if lacking:
        raise BuildError(f"cannot compile: {lacking}; everything runs as plain Python, with the same results")
    try:
        with locked():
            if not force and current():
                return "the compiled build is up to date"
            files = sources()
            for source, reason in interpreted().items():
                print(f"s2fuzz: {source} stays interpreted: {reason}", file=sys.stderr)
            print(f"s2fuzz: compiling {len(files)} modules, which takes some minutes", file=sys.stderr, flush=True)
            return compile_all(files)
    except OSError as error:
        raise BuildError(f"cannot compile: {error.filename}: {error.strerror}") from None


def current() -> bool:
    """Whether the build on disk is the one that would be made now."""
    try:
        manifest = json.loads(native.MANIFEST.read_bytes())
        return bool(
            manifest["format"] == native.FORMAT
            and manifest["suffix"] == EXTENSION_SUFFIXES[0]
            and manifest["sources"] == digests(sources())
            and manifest.get("interpreted", {}) == digests(list(interpreted()))
            and (native.FOLDER / manifest["folder"]).is_dir()
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False


def digests(files: list[str]) -> dict[str, str]:
    """The sources as the manifest has them."""
    return {source: native.digest(native.HOME / source) for source in files}


@contextmanager
def locked() -> Iterator[None]:
    """One build at a time; the lock goes with the process that holds it."""
    native.FOLDER.mkdir(parents=True, exist_ok=True)
    with open(LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_all(files: list[str]) -> str:
    """Compile, then let the manifest name the result; older folders but the last one go.

    :raises BuildError: the compiler refused, or a source changed meanwhile
    """
    before = digests(files)
    folder = Path(tempfile.mkdtemp(prefix="build-", dir=native.FOLDER))
    try:
        run_compiler(folder, files)
        if digests(files) != before:
            raise BuildError("sources changed during the build: run `s2fuzz build` again")
        publish(folder / "out", before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"compiled {len(files)} modules into {native.FOLDER}"


def run_compiler(folder: Path, files: list[str]) -> None:
    """Run `fuzz.compilation.compile`; it and its children end with us.

    :raises BuildError: it failed; the log stays
    """
    command = [sys.executable, "-m", "fuzz.compilation.compile", str(folder), str(CACHE), *files]
    environment = {**os.environ, "S2FUZZ_PURE": "1"}
    with (
        open(LOG, "w") as log,
        subprocess.Popen(
            command, cwd=native.HOME, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        ) as child,
    ):
        try:
            status = child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    if status:
        wrong = [line for line in LOG.read_text(errors="replace").splitlines() if "error:" in line]
        raise BuildError(f"the compiler failed: {wrong[0] if wrong else f'exit code {status}'}; log: {LOG}")


def publish(made: Path, built: dict[str, str]) -> None:
    """Give a finished build its place, and name it in the manifest, which is replaced as a whole."""
    from mypy.version import __version__ as mypyc

    try:
        last = json.loads(native.MANIFEST.read_bytes())["folder"]
    except (OSError, ValueError, LookupError, TypeError):
        last = ""
    name = made.parent.name.replace("build-", "group-")
    os.rename(made, native.FOLDER / name)
    manifest = {
        "format": native.FORMAT,
        "suffix": EXTENSION_SUFFIXES[0],
        "mypyc": mypyc,
        "folder": name,
        "sources": built,
        "interpreted": digests(list(interpreted())),
    }
    write_atomically(native.MANIFEST, json.dumps(manifest, indent=1))
    # What processes that run now may still import from stays; of interrupted builds nothing does.
    for old in native.FOLDER.iterdir():
        if old.name.startswith(("group-", "build-")) and old.name not in (name, last, made.parent.name):
            shutil.rmtree(old, ignore_errors=True)
