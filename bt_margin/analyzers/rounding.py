"""Rounding a table so that what is printed adds up, in both directions.

Controlled rounding (L. H. Cox, "A constructive procedure for unbiased controlled
rounding", 1987): every cell, row sum and column sum is rounded up or down to a whole
number, and all sums still hold. Amounts of zero stay zero.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import floor

__all__ = ["round_table"]

_Cell = tuple[int, int]


def round_table(rows: Sequence[Sequence[Fraction]], total: int) -> list[list[int]]:
    """Whole numbers for every cell, whose sum is ``total``.

    Args:
        rows: the exact cells.
        total: the whole number that all of them together are shown as; what it
            differs by from their sum goes to the largest cell.
    """
    cells = {(r, c): x for r, row in enumerate(rows) for c, x in enumerate(row)}
    if not cells:
        return [[] for _ in rows]
    largest = max(cells, key=lambda cell: abs(cells[cell]))
    cells[largest] += total - sum(cells.values())
    height, width = len(rows), len(rows[0])
    # With the sums as further cells every line adds up to 0.
    for r in range(height):
        cells[r, width] = -sum((cells[r, c] for c in range(width)), Fraction(0))
    for c in range(width + 1):
        cells[height, c] = -sum((cells[r, c] for r in range(height)), Fraction(0))
    while cycle := _cycle(cells):
        _push(cells, cycle)
    return [[int(cells[r, c]) for c in range(width)] for r in range(height)]


def _cycle(cells: dict[_Cell, Fraction]) -> list[_Cell]:
    """A ring of cells with fractions, turning at each between row and column.

    A line that adds up to a whole number has no single cell with a fraction, so from
    each there is a way on, and the way must come back to a line it has been in.
    """
    broken = [cell for cell, value in cells.items() if value.denominator != 1]
    if not broken:
        return []
    way = [broken[0]]
    entered: dict[tuple[int, int], int] = {}  # (direction, line) -> place on the way
    direction = 0
    while True:
        cell = way[-1]
        line = (direction, cell[direction])
        if line in entered:
            return way[entered[line] + 1 :]
        entered[line] = len(way) - 1
        way.append(
            next(
                one
                for one in broken
                if one != cell and one[direction] == cell[direction]
            )
        )
        direction = 1 - direction


def _push(cells: dict[_Cell, Fraction], cycle: list[_Cell]) -> None:
    """Move a fraction round the ring until one cell of it is whole."""
    risen, fallen = cycle[::2], cycle[1::2]

    def room(up: list[_Cell], down: list[_Cell]) -> Fraction:
        above = (floor(cells[cell]) + 1 - cells[cell] for cell in up)
        below = (cells[cell] - floor(cells[cell]) for cell in down)
        return min(*above, *below)

    if room(fallen, risen) < room(risen, fallen):
        risen, fallen = fallen, risen
    step = room(risen, fallen)
    for cell in risen:
        cells[cell] += step
    for cell in fallen:
        cells[cell] -= step
