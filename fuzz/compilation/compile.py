# SPDX-License-Identifier: GPL-2.0-only
"""The compiler's part of ``s2fuzz build``: a process of its own, run in the checkout.

Usage: ``python -m fuzz.compilation.compile FOLDER CACHE SOURCE...``.
Extension modules go to FOLDER/out, C files to FOLDER/c.
"""

import sys
from pathlib import Path
from typing import Final

from reference.native import LIBRARY

OPTIMISATION: Final = "2"


def main(folder: Path, cache: str, sources: list[str]) -> None:
    """Compile *sources*, paths below the current directory, as one group."""
    from mypyc.build import mypycify
    from setuptools import setup

    extensions = mypycify(
        ["--cache-dir", cache, *sources],
        opt_level=OPTIMISATION,
        target_dir=str(folder / "c"),
        group_name=LIBRARY.removesuffix("__mypyc"),
    )
    arguments = ["--quiet", "build_ext", "--build-lib", str(folder / "out"), "--build-temp", str(folder / "objects")]
    setup(name="s2fuzz-native", packages=[], ext_modules=extensions, script_args=arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
