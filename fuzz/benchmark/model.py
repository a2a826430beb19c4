# SPDX-License-Identifier: GPL-2.0-only
"""The cost model of judging: the cost of a program, an operation, an event, a visited entry and a table word.

The seconds of each program are fitted to its counts by least squares: the error of a program that takes four times as
long counts half as much. A term that would be negative is dropped: its counts correlate too much with others to
distinguish them.
"""

from collections.abc import Sequence
from typing import Final

# The terms of the model, in the order of the counts of a program; each is summed over both sides.
TERMS: Final = ("program", "operation", "event", "visited entry", "table word")


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve linear equations by elimination; an unknown determined by the others is 0.

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
            # The remaining rows do not determine this unknown.
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
    """Return the non-negative factors for which the sum of the columns comes closest to the values.

    :param rows: the counts of each program
    :param values: the measured value of each program
    """
    width = len(rows[0]) if rows else 0
    kept = list(range(width))
    # Scale the columns: a program has one program and a million words.
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
    """Return the microseconds of each of the `TERMS`, and ``fit``: per cent of the variance that they explain.

    :param rows: the counts of each program, in the order of `TERMS`
    :param seconds: seconds of each program
    """
    weights = [each**-0.5 if each > 0 else 0.0 for each in seconds]
    weighted = [[count * weight for count in row] for row, weight in zip(rows, weights, strict=True)]
    factors = least_squares(weighted, [each * weight for each, weight in zip(seconds, weights, strict=True)])
    mean = sum(seconds) / max(len(seconds), 1)
    whole = sum((each - mean) ** 2 for each in seconds)
    rest = sum((each - dot(row, factors)) ** 2 for row, each in zip(rows, seconds, strict=True))
    terms = {name: round(1e6 * factor, 4) for name, factor in zip(TERMS, factors, strict=True)}
    return {**terms, "fit": round(100 * (1 - rest / whole), 1) if whole else 100.0}


# Groups of the areas of `fuzz.benchmark.areas`, by prefixes of their names.
_GROUPS: Final = {
    "kernel code": ("pgtable port", "mmu port", "candidate"),
    "kernel layer, machine": ("kernel layer", "machine"),
    "checkers": ("checker",),
}


def grouped(areas: dict[str, float]) -> dict[str, float]:
    """Return per cent of the time of checkers, of kernel code, and of the rest of judging.

    :param areas: per cent by area; {} if they could not be measured
    """
    groups = dict.fromkeys((*_GROUPS, "the rest"), 0.0) if areas else {}
    for area, share in areas.items():
        group = next((name for name, starts in _GROUPS.items() if area.startswith(starts)), "the rest")
        groups[group] += share
    return {name: round(share, 1) for name, share in groups.items()}
