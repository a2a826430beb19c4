# SPDX-License-Identifier: GPL-2.0-only
"""The training run of a build: judges programs, while the compiler's counters record which branches are taken.

``python -m fuzz.compilation.training FOLDER PART``: the part ``one`` judges programs with one actor, ``par`` programs
with blocks of several actors. Runs in plain Python except for the extension modules in FOLDER. The generator makes the
programs, for every granule and several versions, from a seed and numbers that no measurement uses.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

from reference.compiled.choice import LIBRARY, Finder

SEED: Final = 0x7E57
# Versions that are judged against the original, and the number of programs per granule (0: all sizes mixed).
VERSIONS: Final = ("rfc-v1", "rfc-v2", "v5.14", "v6.6-range")
PROGRAMS: Final = {0: 60, 4096: 15, 16384: 15, 65536: 15}


def modules_in(folder: Path) -> dict[str, str]:
    """Return extension modules by name.

    :param folder: folder in which packages are subfolders
    """
    suffix = EXTENSION_SUFFIXES[0]
    return {
        path.relative_to(folder).as_posix().removesuffix(suffix).replace("/", "."): str(path)
        for path in folder.rglob(f"*{suffix}")
    }


def train(par: bool) -> int:
    """Judge programs.

    :param par: programs with blocks
    :returns: number of programs
    """
    import candidate

    from ..generation.capabilities import Offers
    from ..generation.generator import Generator
    from ..judging.collection import collect_rarely
    from ..judging.differential import Differential

    collect_rarely()
    judged = 0
    for number, name in enumerate(VERSIONS):
        differential = Differential(candidate.get("original"), candidate.get(name))
        for granule, programs in PROGRAMS.items():
            generator = Generator(SEED + number, granule, Offers(par=par))
            for _ in range(programs):
                differential.run(generator.next())
                judged += 1
    return judged


def main(folder: Path, part: str) -> None:
    """Judge the programs of a part with the modules in a folder."""
    modules = modules_in(folder)
    sys.meta_path.insert(0, Finder(modules))
    __import__(LIBRARY)
    print(f"training run, {part}: {train(part == 'par')} programs")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
