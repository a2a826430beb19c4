# SPDX-License-Identifier: GPL-2.0-only
"""The training run of a build: programs are judged, and the compiler learns which branches are taken.

``python -m fuzz.compilation.training FOLDER PART``: the part ``one`` judges programs of one actor, ``par`` those with
blocks in which several are at work. Runs in plain Python but for the extension modules in FOLDER. The programs are the
generator's, of a seed and numbers that no measurement has, of every granule and against several versions.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

from reference.compiled.choice import LIBRARY, Finder

SEED: Final = 0x7E57
# Versions that are judged against the original, and how many programs each gets of each granule (0: all sizes mixed).
VERSIONS: Final = ("rfc-v1", "rfc-v2", "v5.14", "v6.6-range")
PROGRAMS: Final = {0: 60, 4096: 15, 16384: 15, 65536: 15}


def modules_in(folder: Path) -> dict[str, str]:
    """Extension modules by name.

    :param folder: where packages are folders
    """
    suffix = EXTENSION_SUFFIXES[0]
    return {
        path.relative_to(folder).as_posix().removesuffix(suffix).replace("/", "."): str(path)
        for path in folder.rglob(f"*{suffix}")
    }


def train(par: bool) -> int:
    """Judge programs.

    :param par: those with blocks
    :returns: how many
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
