# SPDX-License-Identifier: GPL-2.0-only
"""The programs that measure the cost of a switch differ only in switches within the tree's process."""

import candidate
from fuzz.benchmark import tree_switches
from fuzz.language.operations import Par

from .trees import version


def test_the_programs_differ_in_switches_of_the_process() -> None:
    tree = candidate.get(version())
    program, quiet = tree_switches.programs()
    assert tree_switches.block(tree, quiet, tree_switches.PROCESS).turns == 0
    assert tree_switches.block(tree, program, tree_switches.DRIVER).turns == 0
    blocks = program.operations[-1], quiet.operations[-1]
    assert isinstance(blocks[0], Par)
    assert isinstance(blocks[1], Par)
    beyond = len(blocks[0].switches) - len(blocks[1].switches)
    assert tree_switches.block(tree, program, tree_switches.PROCESS).turns == beyond > 0
