"""Arithmetic and logic on lines, as arrays.

Each function fills the bars from ``start`` to ``end`` of one object as that object's
own ``once`` would, to the last bit, or raises ``Unsupported`` and leaves it to it.
"""

import functools
import operator
from collections.abc import Callable, Iterator
from itertools import repeat
from math import fsum
from typing import Any

import numpy as np
from backtrader import functions

from bt_margin.accelerate.buffers import Operand, constant, read, read_line, room
from bt_margin.accelerate.windows import Floats, Unsupported

UFUNCS: dict[Any, np.ufunc] = {
    operator.__add__: np.add,
    operator.__sub__: np.subtract,
    operator.__mul__: np.multiply,
    operator.__truediv__: np.true_divide,
    operator.__lt__: np.less,
    operator.__gt__: np.greater,
    operator.__le__: np.less_equal,
    operator.__ge__: np.greater_equal,
    operator.__eq__: np.equal,
    operator.__ne__: np.not_equal,
    operator.__abs__: np.absolute,
    operator.__neg__: np.negative,
}

# numpy rounds these otherwise than the C library that Python calls.
BY_ELEMENT = (operator.__pow__, operator.__floordiv__)


def delay(line: Any, start: int, end: int) -> None:
    """The value of some bars ago."""
    source = read(line.a, start + line.ago, end + line.ago)
    room(line, start, end)[:] = source


def forward(line: Any, start: int, end: int) -> None:
    """The value of some bars ahead; the first ones land at the end of the buffer."""
    ahead, size = line.ago, len(line.array)
    source, target = read(line.a, start, end), room(line, 0, size)
    if isinstance(source, float) or ahead - start > size:
        raise Unsupported
    wrapped = max(0, min(end, ahead) - start)
    before = size + start - ahead
    target[before : before + wrapped] = source[:wrapped]
    target[start + wrapped - ahead : end - ahead] = source[wrapped:]


def operation(line: Any, start: int, end: int) -> None:
    """An operation on two lines, or on a line and a number."""
    if line.bline:
        left, right = read(line.a, start, end), read(line.b, start, end)
    elif line.btime:
        raise Unsupported
    elif line.r:
        left, right = constant(line.a), read(line.b, start, end)
    else:
        left, right = read(line.a, start, end), constant(line.b)
    if line.operation in BY_ELEMENT:
        _by_element(line, left, right, room(line, start, end))
        return
    ufunc = _ufunc(line.operation)
    if ufunc is np.true_divide and np.equal(right, 0).any():
        raise Unsupported  # the line's own code divides up to there, and raises
    ufunc(left, right, out=room(line, start, end))


def own_operation(line: Any, start: int, end: int) -> None:
    """An operation on one line."""
    ufunc = _ufunc(line.operation)
    ufunc(read_line(line.a, start, end), out=room(line, start, end))


def divide_or(line: Any, start: int, end: int) -> None:
    """A quotient, or the given value where the divisor is zero."""
    left, right = read(line.a, start, end), read(line.b, start, end)
    zero = constant(line.zero)
    room(line, start, end)[:] = np.where(
        np.not_equal(right, 0), np.divide(left, right), zero
    )


def divide_or_two(line: Any, start: int, end: int) -> None:
    """A quotient, or one of two given values where the divisor is zero."""
    left, right = read(line.a, start, end), read(line.b, start, end)
    instead = np.where(np.equal(left, 0), constant(line.dual), constant(line.single))
    room(line, start, end)[:] = np.where(
        np.equal(right, 0), instead, np.divide(left, right)
    )


def compare(line: Any, start: int, end: int) -> None:
    """1, 0 or -1: the first above, equal to or below the second."""
    left, right = read(line.a, start, end), read(line.b, start, end)
    above, below = np.greater(left, right), np.less(left, right)
    np.subtract(above, below, out=room(line, start, end), dtype=np.float64)


def choose_by_comparison(line: Any, start: int, end: int) -> None:
    """One of three values: the first below, equal to or above the second."""
    left, right = read(line.a, start, end), read(line.b, start, end)
    below, equal, above = (
        read(value, start, end) for value in (line.r1, line.r2, line.r3)
    )
    unless_below = np.where(np.greater(left, right), above, equal)
    room(line, start, end)[:] = np.where(np.less(left, right), below, unless_below)


def choose(line: Any, start: int, end: int) -> None:
    """One of two values by a condition."""
    condition = np.not_equal(read(line.cond, start, end), 0)
    first, second = read(line.a, start, end), read(line.b, start, end)
    room(line, start, end)[:] = np.where(condition, first, second)


def logic(line: Any, start: int, end: int) -> None:
    """A rule over the values of several lines."""
    values = [read(arg, start, end) for arg in line.args]
    target = room(line, start, end)
    if line.flogic is fsum:
        bars = (_each(value, len(target)) for value in values)
        target[:] = _collected(map(fsum, zip(*bars, strict=True)), len(target))
        return
    target[:] = functools.reduce(_logic_rule(line.flogic, len(values)), values)


def _logic_rule(rule: Any, count: int) -> Callable[..., Any]:
    """The rule for two arrays that, repeated, is this rule for several numbers."""
    if rule is max:
        return lambda best, value: np.where(np.greater(value, best), value, best)
    if rule is min:
        return lambda best, value: np.where(np.less(value, best), value, best)
    if count > 1 and (rule is all or _reduces(rule, functions.And)):
        return np.logical_and
    if count > 1 and (rule is any or _reduces(rule, functions.Or)):
        return np.logical_or
    raise Unsupported


def _reduces(rule: Any, logic_class: Any) -> bool:
    return (
        isinstance(rule, functools.partial)
        and rule.func is functools.reduce
        and rule.args == (logic_class.flogic,)
        and not rule.keywords
    )


def _ufunc(rule: Any) -> np.ufunc:
    try:
        return UFUNCS[rule]
    except (KeyError, TypeError):
        raise Unsupported from None


def _by_element(line: Any, left: Operand, right: Operand, target: Floats) -> None:
    size = len(target)
    results = map(line.operation, _each(left, size), _each(right, size))
    target[:] = _collected(results, size)


def _each(value: Operand, size: int) -> Any:
    return repeat(value, size) if isinstance(value, float) else value.tolist()


def _collected(results: Iterator[float], size: int) -> Floats:
    """The results of a rule that may refuse a value: then its owner shall say so."""
    try:
        return np.fromiter(results, np.float64, size)
    except (ArithmeticError, TypeError, ValueError):
        raise Unsupported from None
