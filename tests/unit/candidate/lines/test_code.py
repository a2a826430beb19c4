# SPDX-License-Identifier: GPL-2.0-only
"""The lines of a small library that ran, determined from gcc's counters."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from candidate.tree.building import counters
from candidate.tree.building.cache import LIBRARY, LINES
from candidate.tree.building.errors import TreeError
from candidate.tree.building.plan import NATIVE
from candidate.tree.lines.code import CodeFunction, CodeLines

# Lines that `choose(1)` does not run have the comment "idle".
SOURCE = """\
static int twice(int x)
{
	return 2 * x;
}

static int never(int x)
{
	return x + 1;	/* idle */
}

int choose(int x)
{
	int sum = 0;

	if (x > 1)
		return never(x);	/* idle */
	for (int i = 0; i < 3; i++)
		sum += twice(i);
	switch (x) {
	case 0:
		sum++;	/* idle */
		break;	/* idle */
	default:
		sum--;
	}
	return sum;
}

int other(int x)
{
	return x ? choose(x) : 7;	/* idle */
}
"""
# The linker script determines the place of the counters; gcc's own runtime is not linked.
STUBS = """\
extern char shim_counters[], shim_counters_end[];
char *from(void) { return shim_counters; }
long size(void) { return shim_counters_end - shim_counters; }
void __gcov_init(void *info) { }
void __gcov_exit(void) { }
void __gcov_merge_add(void) { }
"""


class Library:
    """`SOURCE` as a library with counters; *lines*: its lines and functions.

    :param folder: an empty folder
    :param flags: more flags of the compiler
    """

    def __init__(self, folder: Path, source: str = SOURCE, *flags: str) -> None:
        if shutil.which("gcc") is None:
            pytest.skip("needs gcc")
        (folder / "code.c").write_text(source)
        (folder / "stubs.c").write_text(STUBS)
        count = ["-fprofile-arcs", "-ftest-coverage", "-fprofile-update=atomic"]
        # -fdata-sections: the counters of each function have a section of their own, which the map names.
        for name, more in (("code", [*count, *flags]), ("stubs", [])):
            self.run("gcc", "-O0", "-fPIC", "-fdata-sections", *more, "-c", f"{name}.c", "-o", f"{name}.o", at=folder)
        script, said = NATIVE / "counters.ld", f"{LIBRARY}.map"
        link = ["-shared", "-Wl,-Bsymbolic", f"-Wl,-T,{script}", f"-Wl,-Map,{said}", "-o", LIBRARY]
        self.run("gcc", *link, "code.o", "stubs.o", at=folder)
        (folder / LINES).write_text(counters.table(folder, LIBRARY))
        self.lines = CodeLines(folder / LIBRARY)
        self.code = ctypes.CDLL(str(folder / LIBRARY))
        getattr(self.code, "from").restype = ctypes.c_void_p

    def run(self, *command: str, at: Path) -> None:
        subprocess.run(command, cwd=at, check=True, capture_output=True)

    def counters(self) -> bytes:
        return ctypes.string_at(getattr(self.code, "from")(), self.code.size())


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Make a library of which nothing has run."""
    return Library(tmp_path_factory.mktemp("library"))


def numbers(*texts: str) -> set[int]:
    """Return the lines of `SOURCE` that contain one of these texts."""
    return {at for at, line in enumerate(SOURCE.split("\n"), 1) if any(text in line for text in texts)}


def test_lines_that_ran(library: Library) -> None:
    assert library.lines.ran(library.counters()) == {}
    library.code.choose(1)
    ran = library.lines.ran(library.counters())["code.c"]
    assert not ran & numbers("/* idle */")
    assert ran >= numbers("2 * x", "sum = 0", "if (x > 1)", "for (int", "sum +=", "switch", "sum--", "return sum")
    # Some versions of gcc generate code for a label.
    idle = numbers("/* idle */", "never(int", "other(int")
    assert library.lines.lines["code.c"] - numbers("case 0:") == ran | idle
    # The counters of several calls show everything that ran in any of them.
    library.code.choose(0)
    library.code.other(5)
    assert library.lines.ran(library.counters()) == library.lines.lines
    counted = {each.name: each for each in library.lines.functions}
    first, last = counted["twice"].first, counted["twice"].first + counted["twice"].counted
    values = memoryview(library.counters()).cast("Q").tolist()[first:last]
    assert counted["twice"].executed(values)[0] == 6


def test_a_statement_without_a_block(tmp_path: Path) -> None:
    """Let gcc merge a statement into its condition: the statement has instructions, a line that cannot run has none."""
    source = "int f(int x)\n{\n\tint y = 0;\n\n\tif (x & 4)\n\t\ty |= 8;\n\telse\n\t\ty |= 2;\n"
    library = Library(
        tmp_path, f"{source}\tif (0)\n\t\ty = 5;\n\treturn y;\n}}\n", "-O1", "-g", f"-ffile-prefix-map={tmp_path}=."
    )
    assert library.code.f(0) == 2
    counted, more = library.lines.lines["code.c"], library.lines.instructions["code.c"]
    assert len(counted & {6, 8}) == 1
    assert {6, 8} <= counted | more
    assert 10 not in counted | more


def test_counters_have_the_same_features_in_another_library(tmp_path: Path, library: Library) -> None:
    (tmp_path / "more").mkdir()
    more = Library(tmp_path / "more", f"int before(int x)\n{{\n\treturn x ? 1 : 2;\n}}\n{SOURCE}")
    assert more.lines.features(more.counters()) == []
    more.code.choose(1)
    ways = set(more.lines.features(more.counters()))
    assert ways
    fresh = Library(tmp_path)
    fresh.code.choose(1)
    assert set(fresh.lines.features(fresh.counters())) == ways
    more.code.before(0)
    assert set(more.lines.features(more.counters())) > ways


def test_invalid_notes(tmp_path: Path, library: Library) -> None:
    for data in (b"", b"oncg", b"oncg42A*", b"something else"):
        with pytest.raises(TreeError, match="gcno is not in the format of gcc; allowed: gcc 9 or later"):
            counters.functions(data, "code.gcno")
    (tmp_path / f"{LIBRARY}.map").write_text("no such symbol\n")
    with pytest.raises(TreeError, match="the linker does not report where counters are"):
        counters.table(tmp_path, LIBRARY)


def test_uncounted_arcs_are_derived() -> None:
    """Check the flow through a diamond: 0 to 2, then through 3 or 4 to 1."""
    arcs = [(0, 2, False), (2, 3, True), (2, 4, True), (3, 1, False), (4, 1, False)]
    function = CodeFunction("code", "f", 0, 5, arcs, [])
    assert function.counted == 2
    assert function.executed([2, 5]) == [7, 7, 7, 2, 5]
    assert function.executed([0, 0]) == [0, 0, 0, 0, 0]


def test_counts_cut_off_by_a_crash_are_not_negative() -> None:
    """Let more executions enter by a counted arc than leave: no block has a negative count."""
    arcs = [(0, 2, True), (2, 3, True), (2, 4, False), (3, 1, True), (4, 1, False)]
    assert min(CodeFunction("code", "f", 0, 5, arcs, []).executed([1, 2, 0])) >= 0


def test_our_own_code_has_no_lines(tmp_path: Path) -> None:
    function = '{"unit":"code","name":"f","first":0,"blocks":2,"arcs":[0,1,1],"lines":[0,0,3,0,1,4,0,2,5]}'
    files, instructions = '["mm/a.c","native/glue.c","<built-in>"]', '{"mm/a.c":[6],"native/glue.c":[7]}'
    text = f'{{"files":{files},"functions":[{function}],"instructions":{instructions}}}'
    (tmp_path / LINES).write_text(text)
    lines = CodeLines(tmp_path / LIBRARY)
    assert (lines.lines, lines.instructions) == ({"mm/a.c": {3}}, {"mm/a.c": {6}})
    assert lines.ran((1).to_bytes(8, "little")) == {"mm/a.c": {3}}
    assert lines.ran(bytes(8)) == {}


def test_damaged_files_of_a_library(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=LINES):
        CodeLines(tmp_path / LIBRARY)
    (tmp_path / LINES).write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        CodeLines(tmp_path / LIBRARY)
