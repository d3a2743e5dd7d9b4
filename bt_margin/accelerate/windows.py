"""Folds over every window of a series, among them sums rounded once.

``math.fsum`` rounds the exact sum of a window to the nearest double. The sums here
are the same doubles for all windows at once: each value is cut into two or three
parts on coarse grids, the parts of a window add up without rounding, and the parts'
sums are joined with a single rounding (Boldo and Melquiond, *Emulation of a FMA and
correctly rounded sums*, 2008).
"""

from collections.abc import Callable, Sequence
from math import frexp, inf
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)

DIGITS = 52  # binary digits a double keeps behind its first
LARGEST, SMALLEST = 1e200, 1e-200  # beyond: the grids would leave the doubles


class Unsupported(Exception):  # noqa: N818 - no error: the caller takes the slow path
    """These values, or this object, are left to the slow path."""


def fold_windows(
    values: NDArray[Number], period: int, combine: Callable[..., NDArray[Number]]
) -> NDArray[Number]:
    """Fold each window of ``period`` values, oldest first, by an associative rule."""
    folded, length = values, 1  # folded[i] is the fold of values[i : i + length]
    total, covered = values[:0], 0
    while True:
        if period & length:
            if covered:
                rows = len(values) - covered - length + 1
                total = combine(total[:rows], folded[covered:])
            else:
                total = folded
            covered += length
        if covered == period:
            return total
        folded = combine(folded[:-length], folded[length:])
        length *= 2


def window_sums(values: Floats, period: int) -> Floats:
    """The sum of each window, rounded once, as ``math.fsum`` gives it."""
    peak, least = magnitudes(values)
    rest, parts = values, []
    for magic in _magics(peak, least, period):
        part = (rest + magic) - magic
        rest = rest - part
        parts.append(fold_windows(part, period, np.add))
    parts.append(fold_windows(rest, period, np.add))
    return _join(parts)


def weighted_sums(values: Floats, weights: Sequence[float]) -> Floats:
    """The sum of each window's rounded products, rounded once."""
    by_weight = np.array(weights)
    (peak, least), (high, low) = magnitudes(values), magnitudes(by_weight)
    magics = _magics(peak * high, least * low, len(weights))
    rows = len(values) - len(weights) + 1
    parts = np.zeros((len(magics) + 1, rows))
    product, part = np.empty(rows), np.empty(rows)
    for place, weight in enumerate(weights):
        np.multiply(values[place : place + rows], weight, out=product)
        for level, magic in enumerate(magics):
            np.add(product, magic, out=part)
            np.subtract(part, magic, out=part)
            parts[level] += part
            product -= part
        parts[-1] += product
    return _join(list(parts))


def magnitudes(values: Floats) -> tuple[float, float]:
    """The largest and the smallest non-zero magnitude of finite values."""
    sizes = np.abs(values)
    peak, least = float(sizes.max()), float(sizes.min())
    if least == 0 and peak > 0:
        least = float(sizes[sizes > 0].min())
    if not peak < LARGEST or 0 < least < SMALLEST:
        raise Unsupported
    return peak, least


def _magics(peak: float, least: float, terms: int) -> list[float]:
    """Numbers that round whatever is added to them to a grid, coarse to fine.

    Per grid the sum of ``terms`` parts stays below 2**53 grid steps, and what the
    last grid leaves is small enough for the same on the values' own finest digit.
    """
    if peak == 0:
        return []
    room = DIGITS - terms.bit_length() - 1
    top, bottom = frexp(peak)[1], frexp(least)[1] - DIGITS - 2
    magics = []
    while top - bottom > room:
        top -= room
        magics.append(1.5 * 2.0 ** (top + DIGITS))
    if room < 8 or len(magics) > 2:
        raise Unsupported
    return magics


def _join(parts: Sequence[Floats]) -> Floats:
    """The sum of up to three series of doubles, rounded once."""
    if len(parts) < 3:
        return sum(parts, np.zeros(1))  # from +0.0: fsum gives no -0.0
    high, middle, low = parts
    near, far = _two_sum(middle, low)
    total, lost = _two_sum(high, near)
    return total + _add_to_odd(lost, far)


def _two_sum(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """The rounded sum and what rounding lost (Knuth)."""
    total = left + right
    shadow = total - left
    return total, (left - (total - shadow)) + (right - shadow)


def _add_to_odd(left: Floats, right: Floats) -> Floats:
    """The sum, where inexact rounded to the neighbour whose last digit is odd."""
    total, lost = _two_sum(left, right)
    even = (total.view(np.int64) & 1) == 0
    toward = np.nextafter(total, np.where(lost > 0, inf, -inf))
    return np.where((lost != 0) & even, toward, total)
