# SPDX-License-Identifier: GPL-2.0-only
"""The cost model of judging: what a program, an operation, an event, a visited entry and a table word cost.

The seconds of each program are fitted by its counts, by least squares: the error of a program that takes four times as
long counts as one half as large. A term that would be negative is left out: there the counts go together too much to
tell them apart.
"""

from collections.abc import Sequence
from typing import Final

# The terms of the model, in the order of the counts of a program; all of both sides together.
TERMS: Final = ("program", "operation", "event", "visited entry", "table word")


def solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve linear equations by elimination; an unknown that the others say all about is 0.

    :param matrix: of the factors, a row an equation; changed
    :param right: what each gives; changed
    """
    size = len(right)
    scale = max((abs(each) for row in matrix for each in row), default=0.0)
    used: list[int] = []
    for column in range(size):
        free = [row for row in range(size) if row not in used]
        pivot = max(free, key=lambda row: abs(matrix[row][column]))
        if abs(matrix[pivot][column]) <= 1e-12 * scale:
            # Nothing is left to say about it.
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
    """Return the factors, none below 0, by which sums of the columns come closest to the values.

    :param rows: the counts of each program
    :param values: what each took
    """
    width = len(rows[0]) if rows else 0
    kept = list(range(width))
    # Columns of like size: a program has one program and a million words.
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
    """The scalar product of two vectors."""
    return sum(mine * its for mine, its in zip(one, other, strict=True))


def fitted(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> dict[str, float]:
    """Return the microseconds of each of the `TERMS`, and ``fit``: per cent of the variance that they explain.

    :param rows: the counts of each program, in the order of `TERMS`
    :param seconds: of each program
    """
    weights = [each**-0.5 if each > 0 else 0.0 for each in seconds]
    weighted = [[count * weight for count in row] for row, weight in zip(rows, weights, strict=True)]
    factors = least_squares(weighted, [each * weight for each, weight in zip(seconds, weights, strict=True)])
    mean = sum(seconds) / max(len(seconds), 1)
    whole = sum((each - mean) ** 2 for each in seconds)
    rest = sum((each - dot(row, factors)) ** 2 for row, each in zip(rows, seconds, strict=True))
    terms = {name: round(1e6 * factor, 4) for name, factor in zip(TERMS, factors, strict=True)}
    return {**terms, "fit": round(100 * (1 - rest / whole), 1) if whole else 100.0}


# Areas of `fuzz.benchmark.areas` in groups, by the beginnings of their names.
_GROUPS: Final = {
    "kernel code": ("pgtable port", "mmu port", "candidate"),
    "kernel layer, machine": ("kernel layer", "machine"),
    "checkers": ("checker",),
}


def grouped(areas: dict[str, float]) -> dict[str, float]:
    """Per cent of the time that checkers and kernel code take, and the rest of judging.

    :param areas: per cent by area; {} where nobody could measure it
    """
    groups = dict.fromkeys((*_GROUPS, "the rest"), 0.0) if areas else {}
    for area, share in areas.items():
        group = next((name for name, starts in _GROUPS.items() if area.startswith(starts)), "the rest")
        groups[group] += share
    return {name: round(share, 1) for name, share in groups.items()}
