# SPDX-License-Identifier: GPL-2.0-only
"""The lines by which small trees differ, and the lines among them that ran."""

from pathlib import Path

import pytest

from candidate.tree.lines.c_text import function_around, is_prototype, macro_name, without_comments
from candidate.tree.lines.code import Lines
from candidate.tree.lines.difference import CANDIDATE, REFERENCE, Exercise, TreeDifference
from fuzz.reports.report import exercise_lines

FILE = "mm/a.c"
BEFORE = """\
#define LIMIT\t3
#define TWICE\t(2 * LIMIT)

int f(int x)
{
\tint y = g(x,
\t\t  x + 1);

\tif (x > LIMIT)
\t\treturn TWICE;
\treturn y;
}
"""
# Lines with code: continuation lines of a statement have none.
CODE = {4, 6, 9, 10, 11, 12}


def made_trees(folder: Path, before: str, after: str) -> tuple[Path, Path]:
    """Make two trees of one file; "" stands for no file."""
    roots = folder / "old", folder / "new"
    for root, text in zip(roots, (before, after), strict=True):
        (root / "mm").mkdir(parents=True)
        if text:
            (root / FILE).write_text(text)
    return roots


def difference(
    folder: Path, after: str, code: set[int], before: str = BEFORE, instructions: tuple[int, ...] = ()
) -> TreeDifference:
    """Return the difference of two trees of one file; "" stands for no file.

    :param code: lines of *after* that have code
    :param instructions: further lines of *after*, which have instructions but no counter
    """
    roots = made_trees(folder, before, after)
    all_code = ({FILE: CODE} if before else {}, {FILE: code})
    return TreeDifference(roots, [FILE], all_code, instructions=({}, lines(*instructions)))


def lines(*numbers: int) -> Lines:
    return {FILE: set(numbers)}


def test_a_line(tmp_path: Path) -> None:
    found = difference(tmp_path, BEFORE.replace("return y;", "return y + 1;"), CODE)
    assert found.places == {(CANDIDATE, FILE, 11)}
    assert found.exercise((lines(11), lines(4))) == Exercise(1, 0, [f"{FILE}:11"], [])
    assert not found.exercise(({}, {})).exercised
    ran = found.exercise(({}, lines(11)))
    assert ran == Exercise(1, 1, [], [])
    assert ran.exercised


def test_comments_and_spaces(tmp_path: Path) -> None:
    after = BEFORE.replace("\tif (x", "\t/* a comment {\n\t * of two lines */\n\n\tif ( x").replace("y;", "y;\t// it")
    found = difference(tmp_path, after, {number + 3 * (number > 8) for number in CODE})
    assert found.exercise(({}, {})) == Exercise(0, 0, [], [])
    assert found.exercise(({}, {})).exercised


def test_a_comment_inside_a_string_is_kept() -> None:
    assert without_comments('a = "/*"; /* b\n */ c = \'"\'; // d\ne') == 'a = "/*"; \n c = \'"\';  \ne'


def test_a_statement_of_several_lines(tmp_path: Path) -> None:
    """Count a line without code as the line where its statement begins."""
    assert difference(tmp_path, BEFORE.replace("x + 1", "x + 2"), CODE).places == {(CANDIDATE, FILE, 6)}


def test_a_line_that_was_removed(tmp_path: Path) -> None:
    after = BEFORE.replace("\tif (x > LIMIT)\n\t\treturn TWICE;\n", "")
    found = difference(tmp_path, after, {4, 6, 9, 10})
    assert found.places == {(REFERENCE, FILE, 9), (REFERENCE, FILE, 10)}
    assert found.exercise((lines(9), lines(9))).missing == [f"{FILE}:10 (removed)"]


def test_lines_replaced_by_fewer_lines(tmp_path: Path) -> None:
    after = BEFORE.replace("\tif (x > LIMIT)\n\t\treturn TWICE;\n\treturn y;\n", "\treturn y + 1;\n")
    found = difference(tmp_path, after, {4, 6, 9, 10})
    assert found.places == {(CANDIDATE, FILE, 9), *((REFERENCE, FILE, line) for line in (9, 10, 11))}
    assert found.exercise((lines(9, 11), lines(9))).missing == [f"{FILE}:10 (removed)"]


def test_braces_are_no_change(tmp_path: Path) -> None:
    braced = BEFORE.replace("\t\treturn TWICE;\n", "\t{\n\t\treturn TWICE;\n\t}\n")
    found = difference(tmp_path, braced, {4, 6, 9, 11, 13, 14})
    assert found.exercise(({}, {})) == Exercise(0, 0, [], [])


def test_a_macro_counts_at_its_uses(tmp_path: Path) -> None:
    """Check that uses by other macros that use it count, too."""
    assert difference(tmp_path, BEFORE.replace("LIMIT\t3", "LIMIT\t4"), CODE).places == {
        (CANDIDATE, FILE, 9),
        (CANDIDATE, FILE, 10),
    }


def test_a_macro_of_several_lines(tmp_path: Path) -> None:
    text = "#define TWICE	(2 * LIMIT)\n"
    longer = "#define TWICE	\\\n\t(2 * \\\n\t LIMIT)\n"
    before = BEFORE.replace(text, longer)
    roots = made_trees(tmp_path, before, before.replace("2 *", "3 *"))
    code = {FILE: {number + 2 for number in CODE}}
    assert TreeDifference(roots, [FILE], (code, code)).places == {(CANDIDATE, FILE, 12)}


FUNCTIONS = """\
#define BEFORE 1
static int one(struct a *a,
		int b)
{
	return call(b);
}
EXPORT(one);

static __always_inline struct a *two(void)
{
	if (x) {
		y();
	}
	return 0;
}

int declared(int);
"""


@pytest.mark.parametrize(
    ("line", "name"),
    [(1, ""), (2, "one"), (3, "one"), (4, "one"), (5, "one"), (7, ""), (9, "two"), (12, "two"), (14, "two"), (17, "")],
)
def test_the_function_around_a_line(line: int, name: str) -> None:
    assert function_around(FUNCTIONS.split("\n"), line) == name


def test_a_function_that_no_operation_calls(tmp_path: Path) -> None:
    """Check that the report names a function whose changed lines have no code because the linker dropped it."""
    roots = made_trees(tmp_path, BEFORE, BEFORE.replace("return y;", "return y + 1;"))
    found = TreeDifference(roots, [FILE], ({}, {}), dropped=({}, {FILE: ["f"]})).exercise(({}, {}))
    assert found == Exercise(0, 0, [], [f"{FILE}:11"], uncalled=["f"])
    assert list(exercise_lines(found)) == [
        f"the differing lines have no code of their own in this build: {FILE}:11",
        "no operation can call f()",
    ]
    assert TreeDifference(roots, [FILE], ({}, {}), dropped=({}, {FILE: ["g"]})).uncalled == []


def test_added_lines_without_code(tmp_path: Path) -> None:
    after = f"{BEFORE}\n#ifdef OTHER\nint h(void)\n{{\n\treturn 1;\n}}\n#endif\n"
    found = difference(tmp_path, after, CODE).exercise(({}, {}))
    assert found == Exercise(0, 0, [], [f"{FILE}:14"])
    assert found.differs
    assert not found.exercised


def test_omitted_calls_beside_lines_with_code(tmp_path: Path) -> None:
    """Omit code as a disabled option does: the report names the calls, and the lines between them."""
    more = "\tp = find(x);\n\tif (p) {\n\t\ty = 3;\n\n\t\tput(p,\n\t\t    x);\n\t\treturn 0;\n\t}\n\tz = h(y);\n"
    after = BEFORE.replace("\tif (x", f"{more}\tif (x")
    found = difference(tmp_path, after, {4, 6, 17, 18, 19, 20, 21})
    assert (found.places, found.codeless) == ({(CANDIDATE, FILE, 17)}, [f"{FILE}:9-13"])


def test_a_return_under_a_condition_needs_a_count(tmp_path: Path) -> None:
    after = BEFORE.replace("\treturn y;", "\ty = h(y);\n\tif (y)\n\t\treturn 7;\n\treturn y;")
    code = {4, 6, 9, 10, 11, 12, 14, 15}
    found = difference(tmp_path / "not counted", after, code)
    assert (found.places, found.codeless) == ({(CANDIDATE, FILE, 11), (CANDIDATE, FILE, 12)}, [f"{FILE}:13"])
    found = difference(tmp_path / "counted", after, code | {13})
    assert found.exercise(({}, lines(11, 12))) == Exercise(3, 2, [f"{FILE}:13"], [])
    # The value alone is changed.
    found = difference(tmp_path / "value", after.replace("return 7", "return 8"), code, after, (13,))
    assert found.exercise(({}, lines(11, 12))) == Exercise(0, 0, [], [f"{FILE}:13"])


SWITCH = """\
int f(int x)
{
	switch (x) {
	case 1:
	case 2:
	case 3:
		return 0;
	case 4:
		return g(x + 1);
	default:
		return g(x);
	}
}
"""


@pytest.mark.parametrize(
    ("label", "line", "code", "leads"),
    [
        ("\tcase 4:\n", 8, {1, 3, 7, 9, 11}, 9),
        ("\tdefault:\n", 10, {1, 3, 11}, 11),
        ("\tcase 2:\n", 5, {1, 3, 5, 11}, 5),
    ],
    ids=["statement", "default", "of its own"],
)
def test_a_removed_label(label: str, line: int, code: set[int], leads: int, tmp_path: Path) -> None:
    """Count a label by the code that it leads to; the report names the label."""
    roots = made_trees(tmp_path, SWITCH, SWITCH.replace(label, ""))
    found = TreeDifference(roots, [FILE], ({FILE: code}, {FILE: code}))
    assert found.exercise((lines(1), lines(*code))) == Exercise(1, 0, [f"{FILE}:{line} (removed)"], [])
    assert found.exercise((lines(leads), {})) == Exercise(1, 1, [], [])
    assert found.exercise(({}, {}), (lines(leads), {})).unjudged == [f"{FILE}:{line} (removed)"]


@pytest.mark.parametrize(
    ("before", "label", "line"),
    [
        (SWITCH, "\tcase 2:\n", 5),
        (SWITCH, "\tcase 4:\n", 8),
        (SWITCH.replace("\t\treturn 0;\n", "\t\tg(1);\n\t\tfallthrough;\n"), "\tcase 4:\n", 9),
        (SWITCH.replace("\t\treturn 0;\n", "\t\tif (g(1))\n\t\t\treturn 0;\n"), "\tcase 4:\n", 9),
    ],
    ids=["two labels", "no count but that of the switch", "fallthrough", "a return under a condition"],
)
def test_a_label_of_code_that_is_reached_without_it(before: str, label: str, line: int, tmp_path: Path) -> None:
    """Code that did not run tells that no value led to the label; code that ran tells nothing."""
    roots = made_trees(tmp_path, before, before.replace(label, ""))
    code = {5: {1, 3, 7, 9, 11}, 8: {1, 3, 7, 11}, 9: {1, 3, 7, 8, 10, 12}}[line]
    found = TreeDifference(roots, [FILE], ({FILE: code}, {FILE: code}))
    name = f"{FILE}:{line} (removed)"
    assert found.exercise((lines(1), lines(1))) == Exercise(1, 0, [name], [])
    assert found.exercise((lines(*code), lines(*code))) == Exercise(0, 0, [], [name])
    assert found.exercise((lines(*code), {}), functions=["f", "g"]) == Exercise(0, 0, [], [name], functions=["f", "g"])


def test_statements_other_than_calls_and_returns_may_have_no_code(tmp_path: Path) -> None:
    after = BEFORE.replace("\treturn y;", "\ty = h(y);\n\tif (y)\n\t\ty = 7;\n\treturn y;")
    found = difference(tmp_path, after, {4, 6, 9, 10, 11, 12, 14, 15})
    assert (found.places, found.codeless) == ({(CANDIDATE, FILE, 11), (CANDIDATE, FILE, 12)}, [])


def test_calls_of_a_function_without_code(tmp_path: Path) -> None:
    """Check the places of a change that is a whole function without code."""
    after = f"{BEFORE}\nstatic int h(void)\n{{\n\tg(1, 1);\n\tg(2, 2);\n}}\n"
    found = difference(tmp_path, after, CODE)
    assert found.codeless == [f"{FILE}:16-17"]
    assert list(exercise_lines(Exercise(2, 1, [], found.codeless)))[-1] == (
        f"no code of their own in this build, so not measured: {FILE}:16-17"
    )


def test_a_branch_that_has_instructions_but_no_counter(tmp_path: Path) -> None:
    """Count the branch with its condition; a branch without instructions has no code."""
    after = BEFORE.replace("\treturn y;", "\tif (x)\n\t\ty = 1;\n\telse\n\t\ty = 2;\n\treturn y;")
    before, code = after.replace("\telse\n\t\ty = 2;\n", ""), {4, 6, 9, 10, 11, 12, 15, 16}
    found = difference(tmp_path / "merged", after, code, before, (14,))
    assert (found.places, found.codeless) == ({(CANDIDATE, FILE, 11)}, [])
    found = difference(tmp_path / "removed", after, code, before)
    assert (found.places, found.codeless) == (set(), [f"{FILE}:13"])


def test_an_initialiser_without_code(tmp_path: Path) -> None:
    """Check that it ran if its function ran, unless other lines explain that the machine code differs."""
    before = BEFORE.replace("\tint y", "\tstruct pair p = {\n\t\t.x = 1,\n\t};\n\tint y")
    code = {4, 9, 12, 13, 14, 15}
    after = before.replace(".x = 1", ".x = 2")
    alone = difference(tmp_path / "alone", after, code, before)
    assert (alone.places, alone.codeless) == (set(), [f"{FILE}:7"])
    assert not alone.exercise(({}, {})).exercised
    ran = alone.exercise(({}, {}), functions=["f"])
    assert ran == Exercise(0, 0, [], [f"{FILE}:7"], functions=["f"])
    assert ran.exercised
    assert list(exercise_lines(ran))[-1] == "f() ran, and its machine code differs"
    measured = difference(tmp_path / "measured", after.replace("return y;", "return y + 1;"), code, before)
    assert measured.exercise(({}, {}), functions=["f"]) == Exercise(1, 0, [f"{FILE}:14"], [f"{FILE}:7"])
    elsewhere = f"{after}\nint h(void)\n{{\n\treturn 1;\n}}\n"
    beside = difference(tmp_path / "beside", elsewhere, {*code, 18, 19, 20}, before)
    assert beside.exercise(({}, {}), functions=["f", "g"]).functions == ["f"]


def test_an_enumerator_changes_functions_elsewhere(tmp_path: Path) -> None:
    before = f"enum {{\n\tONE,\n\tTHREE,\n}};\n{BEFORE}"
    code = {number + 4 for number in CODE}
    found = difference(tmp_path, before.replace("\tTHREE", "\tTHREE = 3"), code, before)
    assert not found.exercise(({}, {})).exercised
    assert found.exercise(({}, {}), functions=["f"]).functions == ["f"]


def test_a_return_that_may_not_have_run(tmp_path: Path) -> None:
    """A return under a condition without a count may be all that differs in a function that ran."""
    after = BEFORE.replace("return TWICE;", "return TWICE + 1;")
    found = difference(tmp_path, after, CODE - {10})
    assert found.codeless == [f"{FILE}:10"]
    assert not found.exercise(({}, {}), functions=["f"]).exercised


def test_a_changed_prototype(tmp_path: Path) -> None:
    """Name it only if nothing else differs; a table of constants beside other lines is named."""
    before = f"{BEFORE}\nint h(int x,\n\t  int y);\nextern int same;\nstatic const int table[] = {{ h(1) }};\n"
    after = before.replace("int y);", "int y,\n\t  int z);")
    alone = difference(tmp_path / "alone", after, CODE, before)
    assert (alone.places, alone.codeless) == (set(), [f"{FILE}:15"])
    beside = after.replace("return y;", "return y + 1;")
    found = difference(tmp_path / "beside", beside, CODE, before)
    assert (found.places, found.codeless) == ({(CANDIDATE, FILE, 11)}, [])
    found = difference(tmp_path / "table", beside.replace("h(1)", "h(2)"), CODE, before)
    assert found.codeless == [f"{FILE}:18"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("int h(int x);", True),
        ("extern struct a *h(struct b *b,\n\t\t    int (*f)(int)) __must_check;", True),
        ("static DEFINE_SPINLOCK(lock);", False),
        ("EXPORT_SYMBOL(h);", False),
        ("static int x = h(1);", False),
        ("enum { ONE };", False),
        ("extern int x;", False),
        ("int h(int x)\n{", False),
    ],
)
def test_prototypes(text: str, is_one: bool) -> None:
    lines_of_it = f"int before;\n{text}\nint after;".split("\n")
    assert {is_prototype(lines_of_it, 2 + at) for at in range(text.count("\n") + 1)} == {is_one}


def test_removed_lines_without_code(tmp_path: Path) -> None:
    before = f"{BEFORE}\n#ifdef OTHER\nint h(void);\n#endif\n"
    assert difference(tmp_path, BEFORE, CODE, before).codeless == [f"{FILE}:14 (removed)"]


@pytest.mark.parametrize(("before", "after", "side"), [("", BEFORE, CANDIDATE), (BEFORE, "", REFERENCE)])
def test_a_file_of_one_side_only(before: str, after: str, side: int, tmp_path: Path) -> None:
    found = difference(tmp_path, after, CODE if after else set(), before)
    assert {place[0] for place in found.places} == {side}
    assert {line for _, _, line in found.places} == CODE


def test_an_unknown_difference_counts_as_exercised() -> None:
    found = Exercise(0, 0, [], [], "a tree is gone")
    assert found.differs
    assert found.exercised


def test_names_of_macros() -> None:
    names = ["LIMIT", "F", ""]
    assert [macro_name(line) for line in ("#define LIMIT 3", "\t#  define F(x) x", "#undef LIMIT")] == names
