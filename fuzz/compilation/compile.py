# SPDX-License-Identifier: GPL-2.0-only
"""The compiler's part of ``s2fuzz build``: a process of its own, run in the checkout.

Usage: ``python -m fuzz.compilation.compile FOLDER CACHE SOURCE...``.
Extension modules go to FOLDER/out, C files to FOLDER/c. Standard output has reports of progress
(`fuzz.compilation.progress`) between what compilers say.
"""

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from sysconfig import get_path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

from .entries import combined, link
from .jobs import NONE, USUAL, Job, jobs
from .primitives import HEADER, register
from .progress import report
from .rare import mark_rare
from .runtime import MACRO, withstand_signals

GROUP: Final = LIBRARY.removesuffix("__mypyc")
# The C file of each module includes half a megabyte of headers, which are parsed once for all files of a level.
HEADERS: Final = f'#include "__native_{GROUP}.h"\n#include "__native_internal_{GROUP}.h"\n'
# Functions of a few instructions in these headers, which `USUAL` would call at each use.
INLINE: Final = (
    *("void (Py_INCREF)(PyObject *)", "void (Py_DECREF)(PyObject *)"),
    "int (PyObject_TypeCheck)(PyObject *, PyTypeObject *)",
    *(f"CPyTagged (CPyTagged_{name})(CPyTagged, CPyTagged)" for name in ("Add", "Subtract", "And", "Rshift", "Lshift")),
)
# Calls within the library need no detour that would let another library replace a function.
HIDDEN: Final = "-fvisibility=hidden"
# Distributions build Python, and so its extension modules, with checks of the stack; translated code pays for one at
# each call that goes through Python.
UNGUARDED: Final = "-fno-stack-protector"
# The address of each function of Python is looked up when the library is loaded, and called directly.
NEAR: Final = "-fno-plt"


def main(folder: Path, cache: str, sources: list[str]) -> None:
    """Compile *sources*, paths below the current directory, as one group of one C file each."""
    from mypyc.build import mypycify
    from setuptools import setup
    from setuptools.command.build_ext import build_ext

    def build_extensions(self: Any) -> None:
        compile_all(self.compiler, jobs(self.extensions), Path(self.build_temp), ahead)
        build_ext.build_extensions(self)

    register()
    # Translating takes one core; the others can do what does not depend on it.
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
        # What has not begun by now is begun with the rest.
        pool.shutdown(wait=False, cancel_futures=True)
    withstand_signals(extensions)
    mark_rare(extensions)
    extensions, layers = combined(extensions, folder / "c")
    arguments = ["--quiet", "build_ext", "--build-lib", str(folder / "out"), "--build-temp", str(folder / "objects")]
    # The linker's jobs, which are what is left to do then.
    arguments += ["--parallel", str(os.cpu_count() or 1)]
    setup(
        name="s2fuzz-native",
        packages=[],
        ext_modules=extensions,
        cmdclass={"build_ext": type("Parallel", (build_ext,), {"build_extensions": build_extensions})},
        script_args=arguments,
    )
    link(layers, folder / "out")


def runtime_ahead(pool: ThreadPoolExecutor, folder: Path) -> "dict[str, Future[list[str]]]":
    """Start to compile the C files of mypyc's runtime library, as `compile_all` would.

    :param folder: gets the object files
    :returns: the object file to come, by the name of the C file
    """
    from mypyc.build import get_cflags, include_dir
    from mypyc.common import RUNTIME_C_FILES
    from setuptools import Extension
    from setuptools._distutils import ccompiler, sysconfig

    compiler = ccompiler.new_compiler()
    sysconfig.customize_compiler(compiler)
    options = [*get_cflags(debug_level="0", multi_file=True), MACRO]
    # Includes of Python are those of the command that builds extensions otherwise.
    compiler.add_include_dir(get_path("include"))
    found = {}
    for name in RUNTIME_C_FILES:
        source = str(Path(include_dir()) / name)
        extension = Extension(LIBRARY, [source], include_dirs=[include_dir()], extra_compile_args=options)
        found[name] = pool.submit(compile_one, compiler, Job(extension, (source,)), folder, "")
    return found


def compile_all(compiler: Any, todo: list[Job], folder: Path, ahead: "dict[str, Future[list[str]]]") -> None:
    """Compile C files side by side; in each extension module, object files take the place of its sources.

    :param compiler: the ``CCompiler`` of setuptools
    :param folder: gets the object files
    :param ahead: see `runtime_ahead`; those that were cancelled are compiled here
    """
    modules, spent, whole = 0, 0.0, sum(job.cost for job in todo)
    report(modules, spent)
    made: dict[tuple[str, ...], list[str]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        levels = (USUAL, NONE)
        example = next(job for job in todo if job.modules)
        parsed = dict(zip(levels, pool.map(partial(parse_headers, compiler, example, folder), levels), strict=True))
        running = {}
        for job in todo:
            begun = None if job.modules else ahead.get(Path(job.sources[0]).name)
            if begun is None or begun.cancelled():
                begun = pool.submit(compile_one, compiler, job, folder, parsed.get(job.level, ""))
            running[begun] = job
        try:
            for future in as_completed(running):
                job = running[future]
                made[job.sources] = future.result()
                modules += job.modules
                spent += job.cost
                report(modules, spent / whole)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for job in sorted(todo, key=lambda job: job.sources):
        job.extension.extra_objects += made[job.sources]
        job.extension.sources = []


def options_for(job: Job, level: str) -> list[str]:
    """The compiler's options but for includes."""
    return [
        *(each for each in job.extension.extra_compile_args if not each.startswith("-O")),
        HIDDEN,
        UNGUARDED,
        NEAR,
        level,
    ]


def parse_headers(compiler: Any, job: Job, folder: Path, level: str) -> str:
    """Have the compiler keep `HEADERS` in parsed form, for the files of one level.

    :param job: one of those files
    :returns: the file to include; "" if the compiler has no such form
    """
    header = folder / f"headers{level}.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    always = "".join([f"static inline {each} __attribute__((always_inline));\n" for each in INLINE])
    header.write_text(HEADERS + (always if level == USUAL else ""))
    folders = [f"-I{each}" for each in (*job.extension.include_dirs, *compiler.include_dirs)]
    command = [*compiler.compiler_so, *folders, "-x", "c-header", header, "-o", f"{header}.gch"]
    done = subprocess.run([*command, *options_for(job, level)], check=False)
    return str(header) if done.returncode == 0 else ""


def compile_one(compiler: Any, job: Job, folder: Path, header: str) -> list[str]:
    """Compile the C files of a job.

    :param header: see `parse_headers`
    :returns: the object file
    """
    # The header that is parsed already comes first, or it does not count.
    headers = [header, str(HEADER)] if job.modules else []
    include = [part for each in headers if each for part in ("-include", each)]
    made: list[str] = compiler.compile(
        [job.file(folder)],
        output_dir=str(folder),
        include_dirs=job.extension.include_dirs,
        extra_postargs=[*include, *options_for(job, job.level)],
    )
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
