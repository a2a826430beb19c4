# SPDX-License-Identifier: GPL-2.0-only
"""Equal functions of two libraries: same code and same referenced data; all others are identified by their counters."""

import shutil
import subprocess
from pathlib import Path

import pytest

from candidate.tree.building import counters, digests
from candidate.tree.building.cache import DIGESTS, LIBRARY, LINES
from candidate.tree.building.errors import TreeError
from candidate.tree.building.plan import NATIVE
from candidate.tree.lines.alike import counters_of, differing, translated

SOURCE = """\
int other(int n);
static int numbers[4] = { 1, 2, 3, 4 };
static int fixed = 7;
const char *word(int n) { return n ? "one" : "none"; }
int same(int n) { return other(n) + numbers[n & 3]; }
int changes(int n) { return n * 2; }
int calls(int n) { return changes(n) + same(n); }
int choice(int n)
{
	switch (n) {
	case 0: return other(11);
	case 1: return other(12) + 1;
	case 2: return other(13) * 3;
	case 3: return other(14) - 5;
	case 4: return other(15) ^ 3;
	case 5: return other(16) | 9;
	}
	return fixed;
}
"""
OTHERS = """\
int other(int n) { return n; }
int model(int n) { return n; }
void __gcov_init(void *info) { }
void __gcov_exit(void) { }
void __gcov_merge_add(void) { }
"""
FLAGS = ("-O1", "-fPIC", "-fno-inline", "-ffunction-sections", "-fdata-sections")
COUNT = ("-fprofile-arcs", "-ftest-coverage", "-fprofile-update=atomic", "-frandom-seed=s2fuzz")


def library(folder: Path, source: str, others: str = OTHERS) -> Path:
    """Make a library with the files that belong to it."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    folder.mkdir()
    for name, text, flags in (("code", source, COUNT), ("others", others, ())):
        (folder / f"{name}.c").write_text(text)
        command = ["gcc", *FLAGS, *flags, "-c", f"{name}.c", "-o", f"{name}.o"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    link = ["gcc", "-shared", "-Wl,-Bsymbolic", f"-Wl,-T,{NATIVE / 'counters.ld'}", f"-Wl,-Map,{LIBRARY}.map"]
    objcopy = ["objcopy", "--weaken", "others.o"]
    for command in (objcopy, [*link, "-o", LIBRARY, "code.o", "others.o"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / LINES).write_text(counters.table(folder, LIBRARY))
    (folder / DIGESTS).write_text(digests.table(folder, ["code.o"], ["others.o"]))
    return folder / LIBRARY


@pytest.mark.parametrize(
    ("text", "instead", "names"),
    [
        ("n * 2", "n * 3", {"changes"}),
        ("int changes(int n)", "\n/* a line more */\nint changes(int n)", set()),
        ("int changes(int n)", "int more(int n) { return n + 9; }\nint changes(int n)", set()),
        ('"none"', '"nothing"', {"word"}),
        # This moves the texts of other functions.
        ("int changes(int n) {", 'const char *first(void) { return "a"; }\nint changes(int n) {', set()),
        ("changes(n) + same(n)", "same(n) + changes(n) + same(n)", {"calls"}),
        ("int same(int n) { return other(n)", "int same(int n) { return calls(n)", {"same"}),
        ("case 1: return other(12) + 1", "case 1: return other(12) + 2", {"choice"}),
        # The targets of a switch change their order.
        ("case 0: return other(11)", "case 6: return other(11)", {"choice"}),
        # Nothing writes to this variable, so the compiler puts its value into the code.
        ("fixed = 7", "fixed = 8", {"choice"}),
        # Any function may use data that has no counters.
        ("{ 1, 2, 3, 4 }", "{ 1, 2, 3, 5 }", None),
        # Our own function is replaced by a function of the tree.
        ("int changes(int n) {", "int model(int n) { return 1; }\nint changes(int n) {", None),
    ],
)
def test_differing(text: str, instead: str, names: set[str] | None, tmp_path: Path) -> None:
    assert SOURCE.count(text) == 1
    before = library(tmp_path / "before", SOURCE)
    after = library(tmp_path / "after", SOURCE.replace(text, instead))
    counted = {place: name.removeprefix("code:") for name, place in counters_of(before).items()}
    found = differing(before, after)
    assert (found is None) == (names is None)
    if found is not None:
        assert {counted[place] for place in found} == names


def test_another_model_may_change_anything(tmp_path: Path) -> None:
    before = library(tmp_path / "before", SOURCE)
    after = library(tmp_path / "after", SOURCE, OTHERS.replace("other(int n) { return n;", "other(int n) { return -n;"))
    assert differing(before, after) is None


def test_a_library_does_not_differ_from_itself(tmp_path: Path) -> None:
    assert differing(tmp_path / LIBRARY, tmp_path / LIBRARY) == ()
    assert translated(b"12345678", tmp_path / LIBRARY, tmp_path / LIBRARY, 8) == b"12345678"


def test_without_digests_anything_may_differ(tmp_path: Path) -> None:
    before = library(tmp_path / "before", SOURCE)
    after = library(tmp_path / "after", SOURCE + "\n")
    (after.parent / DIGESTS).unlink()
    assert differing(before, after) is None


def test_counters_are_moved_to_the_same_function(tmp_path: Path) -> None:
    """Add a function before the others, which moves all counters."""
    added = "int added(int n) { return n ? other(n) : 9; }\n"
    before = library(tmp_path / "before", SOURCE)
    after = library(tmp_path / "after", SOURCE.replace("static int fixed", f"{added}static int fixed"))
    ours, theirs = counters_of(before), counters_of(after)
    assert ours != {name: theirs[name] for name in ours}
    size, more = (8 * max(first + counted for first, counted in each.values()) for each in (ours, theirs))
    counts = b"".join((number + 1).to_bytes(8, "little") for number in range(size // 8))
    moved = translated(counts, before, after, more)
    assert len(moved) == more
    for name, (first, counted) in ours.items():
        there = theirs[name][0]
        assert moved[8 * there : 8 * (there + counted)] == counts[8 * first : 8 * (first + counted)]
    first, counted = theirs["code:added"]
    assert moved[8 * first : 8 * (first + counted)] == bytes(8 * counted)


def test_a_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "code.o").write_bytes(b"text")
    with pytest.raises(TreeError, match=r"code\.o is not an object file for this machine"):
        digests.table(tmp_path, ["code.o"], [])
