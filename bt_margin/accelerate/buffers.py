"""Line buffers seen as arrays, without a copy and without resizing what they are."""

from array import array
from typing import Any

import numpy as np
from backtrader.linebuffer import LineBuffer, PseudoArray

from bt_margin.accelerate.windows import Floats, Unsupported

DOUBLE = 8  # bytes
EXACT = 2**53  # integers up to here are doubles
NAN = float("nan")

Operand = Floats | float
"""A stretch of a line, or one number for every bar."""


def read(source: Any, start: int, end: int) -> Operand:
    """The values of a line, or the constant that stands for one."""
    held = source.array
    if isinstance(held, PseudoArray):
        return constant(held.wrapped)
    return _view(held, start, end)


def read_line(source: Any, start: int, end: int) -> Floats:
    """The values of a line."""
    return _view(source.array, start, end)


def room(target: Any, start: int, end: int) -> Floats:
    """Where the results of an object's first line go."""
    return _view(target.array, start, end)


def constant(value: Any) -> float:
    """A plain number as the double that Python's arithmetic makes of it."""
    if type(value) is float or (type(value) in (int, bool) and abs(value) <= EXACT):
        return float(value)
    raise Unsupported


def lengthen(line: Any, size: int, blank: "Blank") -> None:
    """Append ``size`` empty bars to a line at once, as its ``forward`` does singly."""
    stock = type(line).forward is LineBuffer.forward and "forward" not in vars(line)
    if stock and type(line.array) is array:
        line.idx += size
        line.lencount += size
        line.array.extend(blank.of(size))
    else:
        line.forward(size=size)


def copy_to_bindings(line: Any) -> None:
    """Give a line's values to the lines that are bound to it."""
    size = line.buflen()
    for bound in line.bindings:
        if size and type(bound.array) is array and len(bound.array) >= size:
            _view(bound.array, 0, size)[:] = _view(line.array, 0, size)
        else:
            bound.array[0:size] = line.array[0:size]


class Blank:
    """Empty bars by number: one array for all lines of that length."""

    def __init__(self) -> None:
        self._by_size: dict[int, array[float]] = {}

    def of(self, size: int) -> "array[float]":
        """That many empty bars; not to be written to."""
        if size not in self._by_size:
            self._by_size[size] = array("d", [NAN]) * size
        return self._by_size[size]


def _view(held: Any, start: int, end: int) -> Floats:
    fits = type(held) is array and held.typecode == "d" and 0 <= start < end
    if not fits or end > len(held):
        raise Unsupported
    return np.frombuffer(held, np.float64, end - start, start * DOUBLE)
