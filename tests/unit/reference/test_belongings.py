# SPDX-License-Identifier: GPL-2.0-only
"""State that each actor of a block owns."""

from reference.belongings import Own, Owns


class Seen(Own):
    """Pages seen by one actor."""

    def __init__(self) -> None:
        self.pages: list[int] = []

    def copy(self) -> "Seen":
        mine = Seen()
        mine.pages = self.pages[:]
        return mine


def test_an_actor_starts_with_a_copy_and_keeps_it() -> None:
    outside = Seen()
    outside.pages.append(1)
    owns = Owns(outside)
    first, second = owns.of(1), owns.of(2)
    first.pages.append(2)
    second.pages.append(3)
    assert (first.pages, second.pages, outside.pages) == ([1, 2], [1, 3], [1])
    assert owns.of(1) is first
    assert owns.of(2) is second


def test_a_finished_block_leaves_no_state() -> None:
    outside = Seen()
    owns = Owns(outside)
    # The actors of a block need not run in their order.
    last = owns.of(3)
    last.pages.append(1)
    assert owns.of(0) is outside
    assert owns.of(3) is not last
    assert owns.of(3).pages == owns.of(1).pages == []
