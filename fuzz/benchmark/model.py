# SPDX-License-Identifier: GPL-2.0-only
"""The cost model of judging: the cost of a program, an operation, an event, a visited entry and a table word.

The seconds of each program are fitted to its counts by least squares. The error of a program that takes four times as
long has half the weight. A term that would be negative is left out, since it is then too strongly correlated with
other counts to be separated.
"""

from collections.abc import Sequence
from typing import Final

# The terms of the model, in the order of a program's counts; each for both sides together.
TERMS: Final = ("program", "operation", "event", "visited entry", "table word")


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve linear equations by elimination; an unknown that depends on the others is 0.

    :param matrix: the coefficients, one row per equation; modified
    :param right: the right-hand sides; modified
    """
    size = len(right)
    scale = max((abs(each) for row in matrix for each in row), default=0.0)
    used: list[int] = []
    for column in range(size):
        free = [row for row in range(size) if row not in used]
        pivot = max(free, key=lambda row: abs(matrix[row][column]))
        if abs(matrix[pivot][column]) <= 1e-12 * scale:
            # No equation is left that determines it.
            used.append(-1)
            continue
        used.append(pivot)
        for row in range(size):
            if row != pivot and matrix[row][column]:
                factor = matrix[row][column] / matrix[pivot][column]
                matrix[row] = [mine - factor * other for mine, other in zip(matrix[row], matrix[pivot], strict=True)]
                right[row] -= factor * right[pivot]
    return [0.0 if row < 0 else right[row] / matrix[row][column] for column, row in enumerate(used)]


def least_squares(rows: Sequence[Sequence[float]], values: Sequence[float]) -> list[float]:
    """Return the nonnegative factors for which weighted sums of the columns come closest to the values.

    :param rows: the counts of each program
    :param values: the cost of each program
    """
    width = len(rows[0]) if rows else 0
    kept = list(range(width))
    # Scale columns to similar size: a program counts as one program but has a million words.
    sizes = [max((abs(row[column]) for row in rows), default=0.0) or 1.0 for column in range(width)]
    while True:
        columns = [[row[column] / sizes[column] for row in rows] for column in kept]
        matrix = [[dot(one, other) for other in columns] for one in columns]
        found = solved(matrix, [dot(column, values) for column in columns])
        if all(factor >= 0 for factor in found):
            break
        del kept[found.index(min(found))]
    factors = [0.0] * width
    for column, factor in zip(kept, found, strict=True):
        factors[column] = factor / sizes[column]
    return factors


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the scalar product of two vectors."""
    return sum(mine * its for mine, its in zip(one, other, strict=True))


def fitted(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> dict[str, float]:
    """Return the microseconds per unit of each of the `TERMS`, and ``fit``, the explained variance in per cent.

    :param rows: the counts of each program, in the order of `TERMS`
    :param seconds: the time of each program
    """
    weights = [each**-0.5 if each > 0 else 0.0 for each in seconds]
    weighted = [[count * weight for count in row] for row, weight in zip(rows, weights, strict=True)]
    factors = least_squares(weighted, [each * weight for each, weight in zip(seconds, weights, strict=True)])
    mean = sum(seconds) / max(len(seconds), 1)
    whole = sum((each - mean) ** 2 for each in seconds)
    rest = sum((each - dot(row, factors)) ** 2 for row, each in zip(rows, seconds, strict=True))
    terms = {name: round(1e6 * factor, 4) for name, factor in zip(TERMS, factors, strict=True)}
    return {**terms, "fit": round(100 * (1 - rest / whole), 1) if whole else 100.0}


# Groups of areas of `fuzz.benchmark.areas`, by name prefix.
_GROUPS: Final = {
    "kernel code": ("pgtable port", "mmu port", "candidate"),
    "kernel layer, machine": ("kernel layer", "machine"),
    "checkers": ("checker",),
}


def grouped(areas: dict[str, float]) -> dict[str, float]:
    """Return per cent of the time for checkers, for kernel code, and for the rest of judging.

    :param areas: per cent by area; {} if it was not measured
    """
    groups = dict.fromkeys((*_GROUPS, "the rest"), 0.0) if areas else {}
    for area, share in areas.items():
        group = next((name for name, starts in _GROUPS.items() if area.startswith(starts)), "the rest")
        groups[group] += share
    return {name: round(share, 1) for name, share in groups.items()}
