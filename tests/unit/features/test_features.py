# SPDX-License-Identifier: GPL-2.0-only
"""Features: the same for a program in every process and form, and different for new behaviour."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import candidate
from fuzz.features import features as features_module
from fuzz.features.features import describe, keep_texts
from fuzz.generation.generator import Generator
from fuzz.judging.differential import Differential
from fuzz.language.program import Program
from fuzz.language.text import load, parse

ROOT = Path(__file__).parents[3]
REGRESSIONS = ROOT / "corpus" / "regressions"
# The first words of features: each must occur somewhere.
WHATS = (
    *("entry", "entry written before", "hyp entry", "get_page", "put_page", "free_page", "alloc", "tree", "table"),
    *("flush by IPA", "flush by VMID", "clean", "invalidate icache", "lock", "unlock", "resched", "topup"),
    *("gfn_to_pfn", "huge page", "no huge page", "marked dirty", "not logged", "no retry", "retry", "copy on write"),
    *("inject", "io", "access", "operation", "backing", "slot flags", "meets", "meets at its end", "edges"),
    *("results", "difference", "first violations", "violation"),
)


@pytest.fixture(autouse=True, scope="module")
def with_texts() -> Iterator[None]:
    keep_texts()
    yield
    features_module._asked.clear()
    features_module._texts.clear()


def features(program: Program | str, candidate_name: str = "rfc-v1", reference: str = "original") -> tuple[int, ...]:
    program = parse("s2fuzz 1\n" + program) if isinstance(program, str) else program
    return Differential(candidate.get(reference), candidate.get(candidate_name), features=True).run(program).features


def texts(program: Program | str, candidate_name: str = "rfc-v1") -> list[str]:
    return [describe(feature) for feature in features(program, candidate_name)]


@cache
def generated(seed: int, programs: int) -> list[tuple[int, ...]]:
    """Return the features of the generator's first programs."""
    generator = Generator(seed)
    return [features(generator.next()) for _ in range(programs)]


def test_features_are_distinct_sorted_and_of_32_bits() -> None:
    for found in generated(1, 20):
        assert found
        assert list(found) == sorted(set(found))
        assert all(0 <= feature < 1 << 32 for feature in found)


def test_features_are_computed_on_request_only() -> None:
    differential = Differential(candidate.get("original"), candidate.get("rfc-v1"))
    program = load(REGRESSIONS / "dcache-logging-route.s2")
    plain = differential.run(program)
    differential.features = True
    asked = differential.run(program)
    assert plain.features == ()
    assert asked.features
    assert (plain.findings, plain.titles()) == (asked.findings, asked.titles())


def test_features_do_not_depend_on_earlier_programs() -> None:
    generator = Generator(2)
    programs = [generator.next() for _ in range(5)]
    differential = Differential(candidate.get("original"), candidate.get("rfc-v2"), features=True)
    there = [differential.run(program).features for program in programs]
    back = [differential.run(program).features for program in reversed(programs)]
    assert there == back[::-1]


def in_a_process(seed: str, pure: bool) -> list[list[int]]:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    environment.pop("S2FUZZ_PURE", None)
    if pure:
        environment["S2FUZZ_PURE"] = "1"
    command = [sys.executable, "-m", "tests.unit.features.test_features"]
    run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True, text=True)
    found: list[list[int]] = json.loads(run.stdout)
    return found


def samples() -> list[tuple[int, ...]]:
    """Return the features of a fixed program, and of a generated one."""
    return [features(load(REGRESSIONS / "dcache-logging-route.s2")), features(Generator(3).next(), "v5.14")]


def test_every_process_and_form_has_the_same_features() -> None:
    here = [list(found) for found in samples()]
    assert in_a_process("0", True) == here
    # Compiled, if there is a build.
    assert in_a_process("1", False) == here


def test_addresses_do_not_matter() -> None:
    found = [
        features(f"vm\nslot a ipa={at}G size=4M backing=thp\ncpu0 write a+8K\nhost discard a+4K 8K\n") for at in (1, 5)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("cpu0 fetch a+8K", "access: fetch: translation: empty L1"),
        ("table map a+0 4K rw", "entry: kvm_pgtable_stage2_map: stage2_map_walker: empty -> rw- L3"),
        ("table map a+0 4K r\ntable relax a+0 rw",
         ("entry: kvm_pgtable_stage2_relax_perms: stage2_attr_walker: leaf -> leaf +w L3")),
        ("table map a+0 4K rw\ntable wrprotect a+0 4K", "meets: TableWrprotect: leaf writable L3"),
        ("table map a+0 12K rw\ntable unmap a+4K 4K", "table: 3: some: 0"),
        ("table map a+0 4K rw\ntable unmap a+4K 4K", "table: 3: 1: 0"),
        ("table unmap a+4K 1", "edges: TableUnmap: page: byte: page"),
        ("cpu0 read a+0\nslot a delete",
         ("entry written before: after a translation fault: kvm_set_memory_region: stage2_unmap_walker: 2")),
        ("slot a delete\ncpu0 read a+0", "slot flags: GuestAccess: deleted"),
        ("par\ncpu0 read a+0\ncpu1 read a+8K\nswitch cpu0 to cpu1 after lookup 1\nend",
         "turn: after a translation fault: gfn_to_pfn: kvm_set_memory_region"),
    ],
)  # fmt: skip
def test_an_operation_adds_its_feature(more: str, text: str) -> None:
    bare = "vm\nslot a size=4M backing=thp\n"
    *before, last = more.splitlines()
    shown = texts(bare + "\n".join(before) + "\n" + last + "\n")
    assert text in shown
    assert text not in texts(bare)


def test_all_kinds_of_features() -> None:
    shown = {describe(feature) for found in generated(1, 150) for feature in found}
    for name in ("hyp", "hardware-access-flag", "range-flush", "memory-failure", "copy-on-write", "migrate"):
        shown.update(texts(load(ROOT / "corpus" / "seeds" / f"{name}.s2"), "v5.14"))
    begins = {text.split(": ")[0] for text in shown}
    assert set(WHATS) <= begins
    assert {"original only", "candidate only"} <= begins


def test_a_version_against_itself_has_no_features_of_one_side() -> None:
    for program in (load(REGRESSIONS / "dcache-logging-route.s2"), Generator(4).next()):
        for text in texts(program, "original"):
            assert not text.startswith(("original only", "candidate only", "difference"))


def test_features_compare_both_sides() -> None:
    """Check that features name events and violations of one side alone, and how much the sides differ."""
    shown = texts(load(REGRESSIONS / "dcache-logging-route.s2"), "rfc-v1-3")
    missing = "dcache: stage2_map_walker: table->block after a translation fault, not cleaned L2"
    assert f"first violations: none: {missing}" in shown
    assert f"candidate only: violation: {missing}" in shown
    assert "original only: clean: after a translation fault: block" in shown
    assert "difference: GuestAccess: pages cleaned: -4" in shown
    assert missing not in " ".join(texts(load(REGRESSIONS / "dcache-logging-route.s2"), "original"))


def test_an_unknown_feature_is_shown_as_its_number() -> None:
    assert describe(0x1234) == "0x00001234"


@pytest.mark.parametrize("seed", [1, 2])
def test_features_saturate(seed: int) -> None:
    """Check that some hundreds appear at once, then fewer and fewer, and not all of them in every program."""
    found = generated(seed, 150)
    total: set[int] = set()
    grown = []
    for program in found:
        total |= set(program)
        grown.append(len(total))
    first, second, third = grown[49], grown[99] - grown[49], grown[149] - grown[99]
    assert 500 < grown[-1] < 5000
    assert first > 2 * second > 2 * third
    assert max(len(program) for program in found) < grown[-1] / 2


if __name__ == "__main__":
    print(json.dumps(samples()))
