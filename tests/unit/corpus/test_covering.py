# SPDX-License-Identifier: GPL-2.0-only
"""A small set of small programs that has all features of many."""

import random

from hypothesis import given
from hypothesis import strategies as st

from fuzz.corpus.covering import Size, covering

Features = dict[str, tuple[int, ...]]
FEATURES = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.lists(st.integers(0, 30), max_size=12, unique=True).map(tuple),
    max_size=25,
)


def sizes_of(features: Features, lengths: dict[str, int] | None = None) -> dict[str, Size]:
    return {name: ((lengths or {}).get(name, 1), 0, name) for name in features}


def union(features: Features, names: set[str]) -> set[int]:
    return {feature for name in names for feature in features[name]}


@given(FEATURES, st.randoms(use_true_random=False))
def test_nothing_is_lost_and_nothing_is_superfluous(features: Features, order: random.Random) -> None:
    sizes = {name: (order.randrange(5), order.randrange(5), name) for name in sorted(features)}
    chosen = covering(features, sizes)
    assert union(features, chosen) == union(features, set(features))
    for name in chosen:
        assert union(features, chosen - {name}) != union(features, chosen)
    # Covering the result again changes nothing, and the order of the input does not matter.
    assert covering({name: features[name] for name in chosen}, sizes) == chosen
    shuffled = list(features.items())
    order.shuffle(shuffled)
    assert covering(dict(shuffled), sizes) == chosen


def test_one_program_with_all_features_is_enough() -> None:
    features = {"one": (1,), "two": (2, 3), "all": (1, 2, 3), "none": ()}
    assert covering(features, sizes_of(features, {"all": 100})) == {"all"}


def test_the_smallest_of_equal_programs_stays() -> None:
    features = {"long": (1, 2), "short": (2, 1), "other": (3,)}
    assert covering(features, sizes_of(features, {"long": 9, "short": 2})) == {"short", "other"}


def test_programs_made_superfluous_by_later_ones_are_dropped() -> None:
    # The greedy choice is "wide", although both others are needed anyway.
    features = {"wide": (1, 2, 3, 4), "left": (1, 2, 5), "right": (3, 4, 6)}
    assert covering(features, sizes_of(features)) == {"left", "right"}


def test_a_smaller_program_replaces_a_larger_one() -> None:
    # "large" has most features, but the ones it has beyond "wide" are those of "small".
    features = {"large": (1, 2, 3, 4), "wide": (1, 2, 3, 5, 6), "small": (4,)}
    assert covering(features, sizes_of(features, {"large": 50, "small": 1})) == {"small", "wide"}


def test_thousands_of_features_are_no_trouble() -> None:
    features = {str(n): tuple(range(n * 10, n * 10 + 3000)) for n in range(300)}
    chosen = covering(features, sizes_of(features))
    assert union(features, chosen) == set(range(2990 + 3000))
    assert len(chosen) == 2
