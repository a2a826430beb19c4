# SPDX-License-Identifier: GPL-2.0-only
"""The names of promoted programs."""

import pytest

from fuzz.minimizing.promotion import default_name


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        ("map", "map"),
        ("dcache: a: table->block after a walk", "dcache-a-table-block-after-a-walk"),
        (
            "refcount: stage2_map_walk_table_post: a reference of a table is kept",
            "refcount-stage2-map-walk-table-post-a-reference-of-a-table",
        ),
        ("x" * 80, "x" * 60),
        ("x: " + "y" * 80, "x"),
    ],
)
def test_default_names_end_with_a_whole_word(signature: str, name: str) -> None:
    found = default_name(signature)
    assert found == name
    assert len(found) <= 60
