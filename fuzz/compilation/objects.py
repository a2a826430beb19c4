# SPDX-License-Identifier: GPL-2.0-only
"""The object files of a build: C files are compiled in parallel, hot ones twice if there is a profile."""

import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

from .jobs import USUAL, Job
from .primitives import HEADER
from .profile import Round
from .progress import report

GROUP: Final = LIBRARY.removesuffix("__mypyc")
# The C file of each module includes half a megabyte of headers, which are precompiled once for all files of a level.
# Their declarations refer to the same library, so that no address look-up is needed.
HEADERS: Final = (
    f'#include <Python.h>\n#include "CPy.h"\n#pragma GCC visibility push(hidden)\n#include "__native_{GROUP}.h"\n'
    f'#include "__native_internal_{GROUP}.h"\n#pragma GCC visibility pop\n'
)
# Functions of a few instructions in these headers, which would not be inlined at level `USUAL`.
INLINE: Final = (
    *("void (Py_INCREF)(PyObject *)", "void (Py_DECREF)(PyObject *)"),
    "int (PyObject_TypeCheck)(PyObject *, PyTypeObject *)",
    *(f"CPyTagged (CPyTagged_{name})(CPyTagged, CPyTagged)" for name in ("Add", "Subtract", "And", "Rshift", "Lshift")),
)
# Calls within the library need no indirection for symbol interposition.
HIDDEN: Final = "-fvisibility=hidden"
# Distributions build Python and its extension modules with stack protection, which translated code would pay for at
# each call that goes through Python.
UNGUARDED: Final = "-fno-stack-protector"
# Addresses of Python's functions are resolved when the library is loaded, and called directly.
NEAR: Final = "-fno-plt"


class Objects:
    """The object files of all extension modules.

    :param compiler: the ``CCompiler`` of setuptools
    :param todo: the jobs
    :param folder: receives the object files
    :param ahead: future object files, by the name of the C file; cancelled ones are compiled here
    :param rounds: each job is compiled in the rounds that include it, and reported in the last of them
    """

    def __init__(
        self,
        compiler: Any,
        todo: list[Job],
        folder: Path,
        ahead: "dict[str, Future[list[str]]]",
        rounds: Iterable[Round],
    ) -> None:
        self.compiler = compiler
        self.todo = todo
        self.folder = folder
        self.ahead = ahead
        self.made: dict[tuple[str, ...], list[str]] = {}
        self.parsed: dict[tuple[str, bool], str] = {}
        self.modules, self.spent = 0, 0.0
        self.whole = sum(job.cost * each.factor(job) for each in rounds for job in todo if each.takes(job))
        report(self.modules, self.spent)

    def compile(self, part: Round) -> None:
        """Compile the jobs of a round."""
        todo = [job for job in self.todo if part.takes(job)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.parse(pool, part)
            running = {self.begin(pool, job, part): job for job in todo}
            try:
                for future in as_completed(running):
                    job = running[future]
                    self.made[job.sources] = future.result()
                    self.modules += job.modules if part.last(job) else 0
                    self.spent += job.cost * part.factor(job)
                    report(self.modules, self.spent / self.whole)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def parse(self, pool: ThreadPoolExecutor, part: Round) -> None:
        """Precompile headers for a round: a precompiled header is valid only with the options it was compiled with."""
        examples = {(job.level, job.hot): job for job in self.todo if job.modules and part.takes(job)}
        headers = pool.map(
            lambda job: parse_headers(self.compiler, job, self.folder, part.name, part.options(job)),
            examples.values(),
        )
        self.parsed = dict(zip(examples, headers, strict=True))

    def begin(self, pool: ThreadPoolExecutor, job: Job, part: Round) -> "Future[list[str]]":
        """Start a job, unless it was started ahead."""
        begun = None if job.modules else self.ahead.get(Path(job.sources[0]).name)
        if begun is None or begun.cancelled():
            header = self.parsed[job.level, job.hot] if job.modules else ""
            begun = pool.submit(compile_one, self.compiler, job, self.folder, header, part.options(job))
        return begun

    def hand_over(self) -> None:
        """Replace the sources of each extension module by object files."""
        for job in self.todo:
            job.extension.extra_objects = []
            job.extension.sources = []
        for job in sorted(self.todo, key=lambda job: job.sources):
            job.extension.extra_objects += self.made[job.sources]


def options_for(job: Job) -> list[str]:
    """Return the compiler's options except the include paths."""
    return [
        *(each for each in job.extension.extra_compile_args if not each.startswith("-O")),
        HIDDEN,
        UNGUARDED,
        NEAR,
        job.level,
    ]


def parse_headers(compiler: Any, job: Job, folder: Path, name: str, options: Iterable[str]) -> str:
    """Have the compiler precompile `HEADERS` for the files of one level in one round.

    :param job: one of those files
    :param name: name of the round
    :param options: additional compiler options
    :returns: the file to include; "" if the compiler has no precompiled headers
    """
    header = folder / f"headers-{name}{job.level}{job.hot:d}.h"
    header.parent.mkdir(parents=True, exist_ok=True)
    always = "".join([f"static inline {each} __attribute__((always_inline));\n" for each in INLINE])
    header.write_text(HEADERS + (always if job.level == USUAL else ""))
    folders = [f"-I{each}" for each in (*job.extension.include_dirs, *compiler.include_dirs)]
    command = [*compiler.compiler_so, *folders, "-x", "c-header", header, "-o", f"{header}.gch"]
    done = subprocess.run([*command, *options_for(job), *options], check=False)
    return str(header) if done.returncode == 0 else ""


def compile_one(compiler: Any, job: Job, folder: Path, header: str, options: Iterable[str] = ()) -> list[str]:
    """Compile the C files of a job.

    :param header: see `parse_headers`
    :param options: additional compiler options
    :returns: the object file
    """
    # The precompiled header must come first to take effect.
    headers = [header, str(HEADER)] if job.modules else []
    include = [part for each in headers if each for part in ("-include", each)]
    made: list[str] = compiler.compile(
        [job.file(folder)],
        output_dir=str(folder),
        include_dirs=job.extension.include_dirs,
        extra_postargs=[*include, *options_for(job), *options],
    )
    return made
