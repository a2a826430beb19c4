# SPDX-License-Identifier: GPL-2.0-only
"""A small set of programs that has all features of a larger one."""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

# Sort key of programs that are equal otherwise: the smaller one is better.
Size = tuple[int, int, str]


def covering(features: Mapping[str, Sequence[int]], sizes: Mapping[str, Size]) -> set[str]:
    """Return few and small programs that together have every feature. Each has one that no other of them has.

    The algorithm is greedy: it repeatedly takes the program with the most features that are still missing, and
    of equal ones the smallest. Then it drops programs that later ones have made superfluous, and replaces each by a
    smaller one that can stand for it. The result depends only on the arguments. Applied to its own result, the function
    changes nothing.

    :param features: the features of each program
    :param sizes: the size of each program, all different
    """
    masks = as_masks(features)
    order = sorted(masks, key=sizes.__getitem__)
    chosen = without_superfluous(greedy(masks, sizes), masks, sizes)
    replace_larger(chosen, masks, order)
    return set(without_superfluous(chosen, masks, sizes))


def as_masks(features: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return each program's features as the bits of a number: sets of hashes would take fifty times the memory."""
    bits: dict[int, int] = {}
    masks: dict[str, int] = {}
    for name, found in features.items():
        data = bytearray(len(bits) // 8 + len(found) // 8 + 2)
        for feature in found:
            bit = bits.setdefault(feature, len(bits))
            data[bit >> 3] |= 1 << (bit & 7)
        masks[name] = int.from_bytes(data, "little")
    return masks


def greedy(masks: Mapping[str, int], sizes: Mapping[str, Size]) -> list[str]:
    """Return programs that together have all bits. Each adds the most bits to those before it."""
    chosen: list[str] = []
    covered = 0
    # The gain of a program never grows, so one whose gain is unchanged is the best.
    heap = [(-mask.bit_count(), sizes[name], name) for name, mask in masks.items() if mask]
    heapify(heap)
    while heap:
        gain, size, name = heappop(heap)
        now = -(masks[name] & ~covered).bit_count()
        if now == gain:
            chosen.append(name)
            covered |= masks[name]
        elif now:
            heappush(heap, (now, size, name))
    return chosen


def shared(chosen: Sequence[str], masks: Mapping[str, int]) -> int:
    """Return the bits that at least two programs have."""
    seen = twice = 0
    for name in chosen:
        twice |= seen & masks[name]
        seen |= masks[name]
    return twice


def without_superfluous(chosen: Sequence[str], masks: Mapping[str, int], sizes: Mapping[str, Size]) -> list[str]:
    """Return the programs without those of which others have all bits, dropping the largest first."""
    left = list(chosen)
    twice = shared(left, masks)
    for name in sorted(chosen, key=sizes.__getitem__, reverse=True):
        if not masks[name] & ~twice:
            left.remove(name)
            twice = shared(left, masks)
    return left


def replace_larger(chosen: list[str], masks: Mapping[str, int], order: Sequence[str]) -> None:
    """Replace each program by the smallest one that can stand for it.

    :param order: all programs, smallest first
    """
    for at in reversed(range(len(chosen))):
        name = chosen[at]
        alone = masks[name] & ~shared(chosen, masks)
        chosen[at] = next(other for other in order if not alone & ~masks[other])
