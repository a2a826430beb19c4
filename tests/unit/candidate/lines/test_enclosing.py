# SPDX-License-Identifier: GPL-2.0-only
"""The line that a statement without a counter counts as."""

import pytest

from candidate.tree.lines.c_text import without_comments
from candidate.tree.lines.enclosing import enclosing_line, shares_code

TEXT = """\
int f(int x)
{
\tif (x) {
\t\ty = 1;
\t\tg(x,
\t\t  y);
\t} else {
\t\ty = 2;
#ifdef OTHER
\t\tz = 2;
#endif
\t}
\tswitch (x) {
\tcase 1:
\t\ty = 3;
\t\tbreak;
\tcase 2:
\t\ty = 4;
\t\th();
\t}
\treturn y;
out:
\ty = 5;
\treturn y;
}

static int z;
"""


@pytest.mark.parametrize(
    ("line", "found"),
    [(4, 5), (5, 3), (8, 3), (10, 3), (15, 13), (18, 19), (23, 24), (27, 0)],
    ids=["next", "condition", "else", "preprocessor", "case", "next in a case", "after a label", "no function"],
)
def test_lines(line: int, found: int) -> None:
    assert enclosing_line(TEXT.split("\n"), {1, 3, 5, 13, 19, 21, 24} - {line}, line) == found


def test_nothing_is_known_before_a_label() -> None:
    """Other code may jump to a label: a condition above it tells nothing about the lines below it."""
    assert enclosing_line(TEXT.split("\n"), {1, 3, 5, 13, 19, 21}, 23) == 0


LABELS = """\
\tswitch (x +
\t\ty) {
\tcase 1: /* alone */
\t\treturn f(x,
\t\t\t y);

\tcase 2: /* alone */
\t\tg();
\tcase 3: /* shared */
\t\tif (x)
\t\t\tbreak;
\tcase 4: /* shared */
\tcase 5: /* shared */
\t\tgoto out;
\tcase 6: { /* alone */
\t\tbreak;
\t}
\tcase 7: /* alone */
\t\tif (x) {
\t\t\tbreak;
\t\t}
\tdefault: /* shared */
\t\tg();
\t}
"""


def test_labels_of_code_that_is_reached_on_another_way() -> None:
    text = without_comments(LABELS).split("\n")
    for at, line in enumerate(LABELS.split("\n"), 1):
        if "/*" in line:
            assert shares_code(text, at) == ("shared" in line), line
