# SPDX-License-Identifier: GPL-2.0-only
"""The compiler process of ``s2fuzz build``, run in the checkout.

Usage: ``python -m fuzz.compilation.compile [--thorough] FOLDER CACHE SOURCE...``.
Extension modules go to FOLDER/out, C files to FOLDER/c. Standard output contains progress reports
(`fuzz.compilation.progress`) between the output of the compilers.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from sysconfig import get_path
from typing import Any

from reference.compiled.choice import LIBRARY

from .entries import combined, link
from .jobs import Job, jobs
from .objects import GROUP, Objects, compile_one
from .primitives import register
from .profile import AGAIN, COUNTED, LINKED, PLAIN, PROFILED, supported, trained
from .progress import tell
from .rare import mark_rare
from .runtime import MACRO, add_ours


def main(folder: Path, cache: str, sources: list[str], thorough: bool = False) -> None:
    """Compile *sources*, paths below the current directory, as one group with one C file per module.

    :param thorough: see `fuzz.compilation.jobs.Job`
    """
    from mypyc.build import mypycify
    from setuptools import setup
    from setuptools.command.build_ext import build_ext

    def build_extensions(self: Any) -> None:
        build_all(self, jobs(self.extensions, thorough), partial(build_ext.build_extensions, self), layers, ahead)

    register()
    # Translating uses one core; the others can run independent jobs.
    pool = ThreadPoolExecutor(max((os.cpu_count() or 1) - 1, 1))
    try:
        ahead = runtime_ahead(pool, folder / "runtime")
        extensions = mypycify(
            ["--cache-dir", cache, *sources],
            debug_level="0",
            multi_file=True,
            target_dir=str(folder / "c"),
            group_name=GROUP,
        )
    finally:
        # Jobs that have not started yet start later, with the rest.
        pool.shutdown(wait=False, cancel_futures=True)
    add_ours(extensions)
    mark_rare(extensions)
    extensions, layers = combined(extensions, folder / "c")
    arguments = ["--quiet", "build_ext", "--build-lib", str(folder / "out"), "--build-temp", str(folder / "objects")]
    # Number of parallel link jobs, which are what remains by then.
    arguments += ["--parallel", str(os.cpu_count() or 1)]
    setup(
        name="s2fuzz-native",
        packages=[],
        ext_modules=extensions,
        cmdclass={"build_ext": type("Parallel", (build_ext,), {"build_extensions": build_extensions})},
        script_args=arguments,
    )
    link(layers, folder / "out")


def build_all(
    command: Any,
    todo: list[Job],
    linked: Callable[[], None],
    layers: list[dict[str, str]],
    ahead: "dict[str, Future[list[str]]]",
) -> None:
    """Compile and link all extension modules; use a profile for hot files if the compiler supports it.

    :param command: the ``build_ext`` of setuptools
    :param todo: the C files of all modules
    :param linked: the part of the command that links existing object files
    :param layers: as returned by `combined`
    :param ahead: see `runtime_ahead`
    """
    temp = Path(command.build_temp)
    counting = supported(command.compiler.compiler_so, temp / "trial")
    made = Objects(command.compiler, todo, temp, ahead, (COUNTED, PROFILED) if counting else (PLAIN,))
    lacking = "this compiler does not support the profiles of gcc"
    if counting:
        made.compile(COUNTED)
        made.hand_over()
        lacking = tried(command, linked, layers)
        made.compile(AGAIN if lacking else PROFILED)
    else:
        made.compile(PLAIN)
    if lacking:
        tell(f"compiled without a profile, so the result is somewhat slower: {lacking}")
    made.hand_over()
    linked()


def tried(command: Any, linked: Callable[[], None], layers: list[dict[str, str]]) -> str:
    """Link the extension modules with counters, and perform the training run.

    :returns: an error message; "" on success
    """
    out = Path(command.build_lib)
    library = next(extension for extension in command.extensions if extension.name == LIBRARY)
    usual = library.extra_link_args
    command.build_lib = str(out.with_name("trial"))
    library.extra_link_args = [*usual, LINKED]
    linked()
    link(layers, Path(command.build_lib))
    lacking = trained(Path(command.build_lib))
    command.build_lib, library.extra_link_args = str(out), usual
    return lacking


def runtime_ahead(pool: ThreadPoolExecutor, folder: Path) -> "dict[str, Future[list[str]]]":
    """Start to compile the C files of mypyc's runtime library, as `Objects` would.

    :param folder: receives the object files
    :returns: future object files, by the name of the C file
    """
    from mypyc.build import get_cflags, include_dir
    from mypyc.common import RUNTIME_C_FILES
    from setuptools import Extension
    from setuptools._distutils import ccompiler, sysconfig

    compiler = ccompiler.new_compiler()
    sysconfig.customize_compiler(compiler)
    options = [*get_cflags(debug_level="0", multi_file=True), MACRO]
    # Normally the command that builds extensions adds Python's include path.
    compiler.add_include_dir(get_path("include"))
    found = {}
    for name in RUNTIME_C_FILES:
        source = str(Path(include_dir()) / name)
        extension = Extension(LIBRARY, [source], include_dirs=[include_dir()], extra_compile_args=options)
        found[name] = pool.submit(compile_one, compiler, Job(extension, (source,)), folder, "")
    return found


if __name__ == "__main__":
    _thorough = sys.argv[1] == "--thorough"
    _folder, _cache, *_sources = sys.argv[1 + _thorough :]
    main(Path(_folder), _cache, _sources, _thorough)
