# SPDX-License-Identifier: GPL-2.0-only
"""The C side of kernel trees (native/) and the Python side (runtime/records.py) use the same numbers."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from candidate.tree.building.plan import NATIVE
from candidate.tree.runtime import records as r
from fuzz.language import lock_rules
from fuzz.language.bounds import CPUS, VMS
from fuzz.language.operations import POINTS, STEPS_OF_HOST
from reference import capabilities, pgtable
from reference.machine import arena
from reference.services.locks import LOCK_NAMES

SHIM: Final = (NATIVE / "shim.h").read_text()
SERVE: Final = (NATIVE / "rt_serve.h").read_text()
# Sizes and offsets in the shared memory -> their expressions in C.
LAYOUT: Final = {
    "RESULT_AT": "offsetof(struct shim_control, ret)",
    "KNOBS_AT": "offsetof(struct shim_control, left)",
    "COUNTER_COUNT_AT": "offsetof(struct shim_control, ncounter)",
    "TEXT_AT": "offsetof(struct shim_control, text)",
    "TEXT_BYTES": "sizeof(shim_control->text)",
    "VMA_AT": "offsetof(struct shim_control, vma)",
    "DEVICE_AT": "offsetof(struct shim_control, device)",
    "LOG_AT": "offsetof(struct shim_control, log)",
    "DIGEST_AT": "offsetof(struct shim_control, digest)",
    "GRACE_AT": "offsetof(struct shim_control, grace_at)",
    "TURNS_AT": "offsetof(struct shim_control, turns)",
    "UNWANTED_AT": "offsetof(struct shim_control, unwanted)",
    "ACTOR_AT": "offsetof(struct shim_control, actor)",
    "ACTOR_WORDS": "(offsetof(struct shim_control, anchors) - offsetof(struct shim_control, actor)) / 8",
    "ANCHOR_WORDS": "sizeof(struct shim_anchor) / 8",
    "ANCHORS_AT": "offsetof(struct shim_control, anchors)",
    "CORE_AT": "offsetof(struct shim_control, core)",
    "VISITED_AT": "offsetof(struct shim_control, visited)",
    "CONTROL_BYTES": "sizeof(struct shim_control)",
    "NAMES_BYTES": "SHIM_NAME_BYTES",
    "CHAIN": "SHIM_CHAIN",
    "NAMES_AT": "SHIM_NAMES_AT",
    "CHAINS_AT": "SHIM_CHAINS_AT",
    "RECORDS_AT": "SHIM_RECORDS_AT",
    "COUNTERS": "SHIM_COUNTERS",
    "COUNTERS_AT": "SHIM_COUNTERS_AT",
    "TOTALS_AT": "SHIM_TOTALS_AT",
    "SHARED_TOTALS_AT": "SHIM_SHARED_TOTALS_AT",
    "SCRIPT_AT": "SHIM_SCRIPT_AT",
    "OVER_AT": "SHIM_SCRIPT_AT + offsetof(struct shim_script, over)",
    "STEPS_AT": "SHIM_SCRIPT_AT + offsetof(struct shim_script, steps)",
    "STEP_HEAD": "offsetof(struct shim_step, before)",
    "STEP_BYTES": "sizeof(struct shim_step)",
    "SCRIPT_END": "SHIM_ANSWERS_AT",
    "ANSWERS_AT": "SHIM_ANSWERS_AT",
    "ANSWER_HEAD": "sizeof(((struct shim_answer *)0)->head)",
    "ANSWER_BYTES": "sizeof(struct shim_answer)",
    "FIRST_ANSWER_AT": "SHIM_ANSWERS_AT + offsetof(struct shim_answers, each)",
    "ANSWERS": "SHIM_ANSWERS",
    "SHARED_BYTES": "SHIM_SHARED_BYTES",
    "MAX_ACTORS": "SHIM_MAX_ACTORS",
    "MAX_ANCHORS": "SHIM_MAX_ANCHORS",
    "MAX_VMS": "SHIM_MAX_VMS",
    "NESTED": "SHIM_NESTED",
    "MAX_CPUS": "SHIM_MAX_CPUS",
    "MAX_VMAS": "SHIM_MAX_VMAS",
    "MAX_DEVICES": "SHIM_MAX_DEVICES",
    "LOG_WORDS": "SHIM_LOG_WORDS",
}
# Capabilities that trees are compiled to query.
CAPABILITIES: Final = {
    "CAP_FWB": capabilities.ARM64_HAS_STAGE2_FWB,
    "CAP_DIC": capabilities.ARM64_HAS_CACHE_DIC,
    "CAP_TTL": capabilities.ARM64_HAS_ARMv8_4_TTL,
    "CAP_RANGE": capabilities.ARM64_HAS_TLB_RANGE,
    "CAP_LPA2": capabilities.ARM64_HAS_LPA2,
    "CAP_MTE": capabilities.ARM64_MTE,
    "CAP_BBM": capabilities.ARM64_HAS_BBM,
    "CAP_NESTED": capabilities.ARM64_HAS_NESTED_VIRT,
    "CAP_HW_DBM": capabilities.ARM64_HW_DBM,
    "CAP_STAGE2": capabilities.GUEST_STAGE2,
}
# As `LAYOUT`, for structs that Python packs: expressions for their sizes.
PACKED: Final = {
    "RECORD": "sizeof(struct shim_record)",
    "CHAIN_WORDS": "sizeof(struct shim_chain)",
    "VMA_WORDS": "sizeof(shim_control->vma[0])",
    "DEVICE_WORDS": "sizeof(shim_control->device[0])",
}


def enum(text: str, name: str, prefix: str) -> list[str]:
    """Return the names in an enum of a C file, in order, without their common prefix."""
    found = re.search(rf"enum {name} ?\{{(.*?)\}}", text, re.DOTALL)
    assert found is not None, name
    names = re.findall(r"\w+", re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL))
    assert names
    assert all(each.startswith(prefix) for each in names), names
    return [each.removeprefix(prefix) for each in names]


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("", enum(SHIM, "shim_kind", "EV_")),
        ("OP_", enum(SHIM, "shim_op", "OP_")),
        ("", enum(SERVE, "", "S_")),
    ],
    ids=["kinds of records", "operations", "status"],
)
def test_numbers_are_the_same(prefix: str, names: list[str]) -> None:
    for number, name in enumerate(names):
        if name != "NONE":
            assert getattr(r, prefix + name) == number, name


def test_texts_stand_for_the_numbers_of_their_enums() -> None:
    locks, points = enum(SHIM, "shim_lock_kind", "LOCK_"), enum(SHIM, "shim_point", "POINT_")
    assert ["other", *r.LOCKS[1:]] == [name.lower() for name in locks]
    assert len(r.ATOMIC) == len(enum(SHIM, "shim_atomic", "ATOMIC_"))
    assert list(r.POINTS[1:]) == [name.lower().replace("exchange", "cmpxchg") for name in points[1:-1]]
    calls = enum(SHIM, "shim_table_op", "T_")
    assert [name.removesuffix("_perms") for name in r.TABLE_OPS] == [name.lower() for name in calls]
    questions = enum(SHIM, "shim_question", "ASK_")
    # The first question is the offer to drop the lock, the last one that another task may run.
    assert [name.replace("_is_", "_") for name in r.QUESTIONS[1:]] == [name.lower() for name in questions[1:-1]]


def test_numbers_of_memory_caches_are_the_same() -> None:
    sizes = {name: int(size) for name, size in re.findall(r"^#define SHIM_(MAX_\w+)\s+(\d+)", SHIM, re.MULTILINE)}
    assert (sizes["MAX_VMS"], sizes["MAX_CPUS"]) == (r.MAX_VMS, r.MAX_CPUS)
    assert re.search(r"^enum \{ SHIM_CACHE_OF_CALL, SHIM_CACHE_OF_VCPUS \};$", SHIM, re.MULTILINE)
    assert (r.CACHE_OF_CALL, r.CACHE_OF_VCPUS) == (0, 1)


def test_flags_are_the_same() -> None:
    """Check the properties of areas, the rights of direct calls, and the capabilities of the machine."""
    flags = {
        name: 1 << int(bit) for name, bit in re.findall(r"^#define SHIM_(\w+)\s+\(1u << (\d+)\)", SHIM, re.MULTILINE)
    }
    areas = {name for name in flags if name.startswith("AREA_")}
    assert areas == {name for name in dir(r) if name.startswith("AREA_")} - {"AREA_HUGE"}
    assert {name: getattr(r, name) for name in areas} == {name: flags[name] for name in areas}
    assert f"#define SHIM_AREA_HUGE\t\t{r.AREA_HUGE}\n" in SHIM
    rights = {name: bit for name, bit in flags.items() if name.startswith("PROT_")}
    assert rights == {name: getattr(pgtable, f"KVM_PGTABLE_{name}") for name in rights}
    assert len(rights) == 4
    assert {name: bit for name, bit in flags.items() if name.startswith("CAP_")} == CAPABILITIES


def test_each_lock_has_a_name_for_reports() -> None:
    """Check the names used in a violation that reports the unlock of a lock that is not held."""
    assert set(LOCK_NAMES) == {name for name in r.LOCKS if name}


def test_memory_begins_at_the_same_addresses() -> None:
    places = dict(re.findall(r"^#define (SHIM_PA_LOW|SHIM_HIGH)\s+\((0x\w|1)UL << (?:46|48)\)$", SHIM, re.MULTILINE))
    assert places == {"SHIM_PA_LOW": "1", "SHIM_HIGH": "0xa"}
    assert (arena.BASE, arena.HIGH) == (1 << 46, 0xA << 48)


def test_the_largest_program_fits() -> None:
    """Check that a process has room for the largest program."""
    assert lock_rules.MAX_ACCESSES <= r.MAX_ACTORS
    assert lock_rules.MAX_SWITCHES <= r.MAX_ANCHORS
    assert CPUS[-1] <= r.MAX_CPUS
    assert VMS[-1] <= r.MAX_VMS
    # The driver counts faults and steps of the host's threads.
    assert set(POINTS) == {"fault", *STEPS_OF_HOST, *r.POINTS[1:]}


def test_areas_of_the_shared_memory_do_not_overlap() -> None:
    """Each area ends before the next one begins, with as many elements as it may have."""
    counters = r.COUNTERS * r.COUNTER_BYTES
    areas = [
        (0, r.CONTROL_BYTES),
        (r.NAMES_AT, r.NAMES_BYTES),
        (r.CHAINS_AT, (1 << 13) * r.CHAIN_WORDS.size),
        (r.RECORDS_AT, (1 << 15) * r.RECORD.size),
        (r.COUNTERS_AT, counters),
        (r.TOTALS_AT, counters),
        (r.SHARED_TOTALS_AT, counters),
        (r.SCRIPT_AT, r.SCRIPT_END - r.SCRIPT_AT),
        (r.FIRST_ANSWER_AT, r.ANSWERS * r.ANSWER_BYTES),
        (r.SHARED_BYTES, 0),
    ]
    for (start, size), (following, _) in pairwise(areas):
        assert start + size <= following, (start, following)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="takes gcc")
def test_offsets_in_the_shared_memory_are_the_same(tmp_path: Path) -> None:
    expected = {name: getattr(r, name) for name in LAYOUT} | {name: getattr(r, name).size for name in PACKED}
    prints = "".join(
        f'\tprintf("{name} %lu\\n", (unsigned long)({what}));\n' for name, what in (LAYOUT | PACKED).items()
    )
    source = f'#include <stddef.h>\n#include <stdio.h>\n#include "rt_serve.h"\nint main(void)\n{{\n{prints}}}\n'
    (tmp_path / "layout.c").write_text(source)
    subprocess.run(["gcc", "-I", str(NATIVE), "-o", "layout", "layout.c"], cwd=tmp_path, check=True)
    said = subprocess.run([str(tmp_path / "layout")], capture_output=True, text=True, check=True).stdout
    assert {name: int(value) for name, value in map(str.split, said.splitlines())} == expected
