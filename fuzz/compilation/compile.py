# SPDX-License-Identifier: GPL-2.0-only
"""The compiler's part of ``s2fuzz build``: a process of its own, run in the checkout.

Usage: ``python -m fuzz.compilation.compile FOLDER CACHE SOURCE...``.
Extension modules go to FOLDER/out, C files to FOLDER/c.
"""

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from reference.compiled.choice import LIBRARY

OPTIMISATION: Final = "2"
# Parts of the names of C files whose code runs once a program, or less: they are compiled without optimisation.
COLD: Final = ("generation___", "language___", "candidate___bugs", "minimizing___", "__init__")


def main(folder: Path, cache: str, sources: list[str]) -> None:
    """Compile *sources*, paths below the current directory, as one group of one C file each."""
    from mypyc.build import mypycify
    from setuptools import setup
    from setuptools.command.build_ext import build_ext

    def build_extension(self: Any, ext: Any) -> None:
        self.compiler.compile = partial(compile_all, self.compiler, type(self.compiler).compile)
        build_ext.build_extension(self, ext)

    extensions = mypycify(
        ["--cache-dir", cache, *sources],
        opt_level=OPTIMISATION,
        debug_level="0",
        multi_file=True,
        target_dir=str(folder / "c"),
        group_name=LIBRARY.removesuffix("__mypyc"),
    )
    arguments = ["--quiet", "build_ext", "--build-lib", str(folder / "out"), "--build-temp", str(folder / "objects")]
    setup(
        name="s2fuzz-native",
        packages=[],
        ext_modules=extensions,
        cmdclass={"build_ext": type("Parallel", (build_ext,), {"build_extension": build_extension})},
        script_args=arguments,
    )


def compile_all(
    compiler: Any, compile_in_turn: Callable[..., list[str]], sources: list[str], *arguments: Any, **options: Any
) -> list[str]:
    """As ``CCompiler.compile()``, with the C files of an extension side by side, the largest first.

    :returns: the object files
    """
    compile_one, jobs = compiler._compile, []
    compiler._compile = lambda *job: jobs.append(job)
    objects = compile_in_turn(compiler, sources, *arguments, **options)
    compiler._compile = compile_one
    jobs.sort(key=lambda job: -os.path.getsize(job[1]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda job: compile_one(*for_file(job)), jobs))
    return objects


def for_file(job: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of ``CCompiler._compile()`` (object, source, extension, options, ...), for one C file."""
    name = Path(job[1]).name
    if not any(part in name for part in COLD):
        return job
    options = [each for each in job[4] if not each.startswith("-O")]
    return (*job[:4], [*options, "-O0"], *job[5:])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
