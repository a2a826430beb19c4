# SPDX-License-Identifier: GPL-2.0-only
"""Races planted in the port are found unaided, and shrink to a few operations and switches.

`tests.measuring.races` tries them with both engines and several seeds; this file uses one seed of each.
"""

from pathlib import Path

import pytest

from ..measuring.planted_races import IN_PORTS, PORT, in_port
from ..measuring.races_found import are_small, found_by_atheris, found_by_random, shrinks

# Upper bound on the programs of the guided engine; of eight seeds of each race, the slowest took 1 621.
GUIDED = 6000


def test_found_by_random(tmp_path: Path) -> None:
    sizes = []
    for name, race in IN_PORTS.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        planted = in_port(race, folder)
        program, found = found_by_random(race, PORT, planted)
        sizes.append(shrinks(program, found, PORT, planted))
    are_small(sizes)


@pytest.mark.parametrize("name", IN_PORTS)
def test_found_by_atheris(name: str, tmp_path: Path) -> None:
    planted = in_port(IN_PORTS[name], tmp_path)
    found_by_atheris(IN_PORTS[name], PORT, planted, GUIDED)
