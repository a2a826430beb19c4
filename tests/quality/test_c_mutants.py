# SPDX-License-Identifier: GPL-2.0-only
"""Small changes of C functions, which serve to measure checkers on kernel trees."""

from ..measuring.c_mutants import CMutant, mutants, ordered

SOURCE = b"""\
#define TWICE(x) ((x) + (x))
static int count = 3;

static struct thing *first(struct thing *all, int most)
{
\tif (!all || most < 2)
\t\treturn NULL;
\tlock(all);
\treturn all;
}
"""


def made() -> list[CMutant]:
    return mutants("a.c", SOURCE)


def test_each_place_of_a_function_is_changed() -> None:
    changes = [(each.function, each.line, each.operator, each.old, each.new) for each in made()]
    assert changes == [
        ("first", 6, "negate", "(!all || most < 2)", "(!(!all || most < 2))"),
        ("first", 6, "delete statement", "if (!all || most < 2)\n\t\treturn NULL;", ";"),
        ("first", 6, "replace operator", "||", "&&"),
        ("first", 6, "negate", "!", ""),
        ("first", 6, "replace operator", "<", "<="),
        ("first", 6, "replace operator", "<", ">="),
        ("first", 6, "change number", "2", "(2 + 1)"),
        ("first", 8, "delete statement", "lock(all);", ";"),
    ]


def test_a_mutant_is_the_file_with_one_change() -> None:
    left_out = made()[-1]
    assert left_out.applied(SOURCE) == SOURCE.decode().replace("lock(all);", ";")
    assert str(left_out) == "a.c:8 first (delete statement): lock(all); => ;"


def test_the_order_is_random_with_one_mutant_of_each_line_first() -> None:
    orders = [ordered(made(), seed) for seed in range(8)]
    assert all({each.line for each in order[:2]} == {6, 8} for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert ordered(made()[::-1], 1) == ordered(made(), 1)
