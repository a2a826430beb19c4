# SPDX-License-Identifier: GPL-2.0-only
"""corpus/seeds: programs that reach the important code; a correct patch fails none of them."""

from pathlib import Path

import pytest

import candidate
from fuzz.language.bounds import MANUAL
from fuzz.language.operations import OPERATIONS, OPTIONAL
from fuzz.language.program import BACKINGS, GRANULES, MEMFD
from fuzz.language.text import load, parse, print_program

from .files import SEEDS, comments, verdict

each_seed = pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
# Versions without a regression or divergence on any seed: the original, and versions that only cure its bugs.
SOUND = ("original", "rfc-v1-fixed", "v5.12.9", "v5.14")


@each_seed
def test_begins_with_a_comment(path: Path) -> None:
    assert comments(path), "no comment"


@each_seed
def test_is_parsed_from_its_canonical_text(path: Path) -> None:
    program = load(path)
    assert parse(print_program(program)) == program


@each_seed
@pytest.mark.parametrize("name", candidate.names())
def test_runs(path: Path, name: str) -> None:
    found = verdict(load(path), name)
    if name in SOUND:
        assert not found.failed, found.titles()


@pytest.mark.parametrize("path", [path for path in SEEDS if path.stem.startswith("ipa-")], ids=lambda path: path.stem)
def test_an_ipa_seed_has_the_size_of_its_name(path: Path) -> None:
    assert load(path).vm.ipa == int(path.stem.removeprefix("ipa-"))


def test_seeds_have_every_operation() -> None:
    programs = [load(path) for path in SEEDS]
    operations = {type(operation) for program in programs for operation in program.operations}
    assert operations == {*OPERATIONS, *OPTIONAL}


def test_seeds_have_every_backing_and_setting() -> None:
    programs = [load(path) for path in SEEDS]
    backings = {slot.backing for program in programs for slot in program.slots}
    assert backings == {*BACKINGS, MEMFD}
    for feature in ("fwb", "dic", "ttl", "range", "haf"):
        assert {getattr(program.vm, feature) for program in programs} == {False, True}, feature
    for setting in ("log", "ro"):
        assert {getattr(slot, setting) for program in programs for slot in program.slots} == {False, True}, setting
    assert {program.vm.granule for program in programs} == set(GRANULES)
    assert {program.vm.manual for program in programs} == set(MANUAL)
    assert {program.vm.vms for program in programs} >= {1, 2}
    assert {32, 40, 48} <= {program.vm.ipa for program in programs}
