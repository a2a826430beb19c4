# SPDX-License-Identifier: GPL-2.0-only
"""State that each actor of a block owns."""

from reference.per_actor import PerActor, PerActorStates


class Seen(PerActor):
    """Pages seen by one actor."""

    def __init__(self) -> None:
        self.pages: list[int] = []

    def copy(self) -> "Seen":
        copied = Seen()
        copied.pages = self.pages[:]
        return copied


def test_an_actor_starts_with_a_copy_and_keeps_it() -> None:
    outside = Seen()
    outside.pages.append(1)
    states = PerActorStates(outside)
    first, second = states.of(1), states.of(2)
    first.pages.append(2)
    second.pages.append(3)
    assert (first.pages, second.pages, outside.pages) == ([1, 2], [1, 3], [1])
    assert states.of(1) is first
    assert states.of(2) is second


def test_a_finished_block_leaves_no_state() -> None:
    outside = Seen()
    states = PerActorStates(outside)
    # The actors of a block need not run in their order.
    last = states.of(3)
    last.pages.append(1)
    assert states.of(0) is outside
    assert states.of(3) is not last
    assert states.of(3).pages == states.of(1).pages == []
