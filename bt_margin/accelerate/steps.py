"""Indicators that know only ``next``, walked bar by bar over plain lists.

Backtrader moves every buffer's pointer for each bar of such an indicator; the loops
here keep its state in local names. Each computes the object's whole line, to the last
bit, or raises ``Unsupported``; the pointers are then moved once.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import backtrader as bt
import numpy as np

from bt_margin.accelerate.buffers import constant, read_line, room
from bt_margin.accelerate.windows import Unsupported, magnitudes

State = tuple[float, float, float, float]


def laguerre_rsi(item: Any, start: int, end: int) -> None:
    """Rises as a share of all moves between the four stages of a Laguerre filter."""

    def value(state: State) -> float:
        rises = falls = 0.0
        for upper, lower in pairwise(state):
            if upper >= lower:
                rises += upper - lower
            else:
                falls += lower - upper
        moves = rises + falls
        return rises / moves if moves else 1.0

    _laguerre(item, start, end, value)


def laguerre_filter(item: Any, start: int, end: int) -> None:
    """The weighted mean of the four stages of a Laguerre filter."""

    def value(state: State) -> float:
        first, second, third, fourth = state
        return (first + 2 * second + 2 * third + fourth) / 6

    _laguerre(item, start, end, value)


def zero_lag(item: Any, start: int, end: int) -> None:
    """The error-corrected average: of all gains the one that ends nearest the price."""
    _require_feed(item)
    alpha, keep = constant(item.ema.alpha), constant(item.ema.alpha1)
    low, high = item.limits
    gains = [number / 10 for number in range(low, high)]
    prices = read_line(item.data, start, end)
    averages = read_line(item.ema, start, end)
    magnitudes(prices)
    magnitudes(averages)
    if alpha <= 0 or not gains:
        raise Unsupported
    held = float(averages[0])  # nothing to correct yet
    corrected = [held]
    steps = zip(prices[1:].tolist(), averages[1:].tolist(), strict=True)
    for price, average in steps:
        held = _corrected(price, average, held, gains, alpha, keep)
        corrected.append(held)
    room(item, start, end)[:] = corrected


def parabolic_sar(item: Any, start: int, end: int) -> None:
    """The stop that follows a trend and turns with it."""
    _require_feed(item)
    if start < 1:
        raise Unsupported
    highs, lows, closes = (
        read_line(line, 0, end).tolist()
        for line in (item.data.high, item.data.low, item.data.close)
    )
    step, limit = constant(item.p.af), constant(item.p.afmax)
    fell = closes[1] < closes[0]
    stops = [np.nan, *_stops(highs, lows, fell, step, limit)]
    room(item, start, end)[:] = stops[start:]


def move_pointers(item: Any, size: int) -> None:
    """Leave the pointers where ``size`` single steps would have left them."""
    for part in (*item.datas, *item.getindicators(), item):
        part.advance(size=size)


def _stops(
    highs: list[float], lows: list[float], fell: bool, step: float, limit: float
) -> Iterator[float]:
    """The stop of each bar from the second on.

    It starts from the trend against the first move, which the second bar then ends.
    """
    rising, stop, speed = fell, (highs[1] + lows[1]) / 2.0, step
    extreme = highs[0] if rising else lows[0]
    bars = zip(pairwise(highs), pairwise(lows), strict=True)
    for (last_high, high), (last_low, low) in bars:
        if stop >= low if rising else stop <= high:
            rising, stop, speed = not rising, extreme, step
            extreme = high if rising else low
        yield stop
        if high > extreme if rising else low < extreme:
            extreme = high if rising else low
            speed = min(speed + step, limit)
        stop = stop + speed * (extreme - stop)
        if rising and (stop > low or stop > last_low):
            stop = min(low, last_low)
        elif not rising and (stop < high or stop < last_high):
            stop = max(high, last_high)


def _corrected(
    price: float,
    average: float,
    held: float,
    gains: list[float],
    alpha: float,
    keep: float,
) -> float:
    """The corrected average with the smallest error; of several gains the first's.

    The corrected average rises or falls with the gain, so the error falls up to
    where the price is crossed and rises from there: halving finds the place.
    """
    gap = price - held

    def at(place: int) -> float:
        return alpha * (average + gains[place] * gap) + keep * held

    low, high = 0, len(gains)
    while low < high:
        middle = (low + high) // 2
        reached = at(middle) >= price if gap > 0 else at(middle) <= price
        low, high = (low, middle) if reached else (middle + 1, high)
    place = min(low, len(gains) - 1)
    error = abs(price - at(place))
    while place > 0 and abs(price - at(place - 1)) <= error:
        place -= 1
        error = abs(price - at(place))
    return at(place) if error < sys.maxsize else average


def _laguerre(item: Any, start: int, end: int, value: Callable[[State], float]) -> None:
    _require_feed(item)
    share = constant(item.p.gamma)
    one, two, three, four = item.l0, item.l1, item.l2, item.l3
    values = []
    for new in ((1.0 - share) * read_line(item.data, start, end)).tolist():
        was_one, was_two, was_three = one, two, three
        one = new + share * was_one
        two = -share * one + was_one + share * was_two
        three = -share * two + was_two + share * was_three
        four = -share * three + was_three + share * four
        values.append(value((one, two, three, four)))
    room(item, start, end)[:] = values
    item.l0, item.l1, item.l2, item.l3 = one, two, three, four


def _require_feed(item: Any) -> None:
    """Backtrader steps an indicator of an indicator otherwise; its code shall do it."""
    data = item.datas[0]
    same_length = data.buflen() == item.buflen()
    if len(item.datas) > 1 or not isinstance(data, bt.feed.AbstractDataBase):
        raise Unsupported
    if not same_length:
        raise Unsupported
