"""Which array function stands for which of Backtrader's ``once`` methods."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import backtrader.indicators as ind
from backtrader import functions, linebuffer

from bt_margin.accelerate import lines, periods, steps

Kernel = Callable[[Any, int, int], None]

STEPS = ("preonce", "oncestart", "prenext", "nextstart")


@dataclass(frozen=True)
class Fast:
    """A fast way to do what a class of Backtrader's does in ``once``.

    ``needs`` names the methods it stands for: a subclass or an object with one of its
    own is left to stock code. ``whole`` is one that replaces ``next`` for all bars.
    """

    kernel: Kernel
    needs: frozenset[str] = field(default=frozenset())
    whole: bool = False


def _once(kernel: Kernel, *helpers: str) -> Fast:
    return Fast(kernel, frozenset(("once", "next", *helpers)))


def _next(kernel: Kernel) -> Fast:
    return Fast(kernel, frozenset(("once", "next", *STEPS)), whole=True)


FAST: dict[type, Fast] = {
    linebuffer._LineDelay: _once(lines.delay),
    linebuffer._LineForward: _once(lines.forward),
    linebuffer.LinesOperation: _once(
        lines.operation, "_once_op", "_once_val_op", "_once_val_op_r"
    ),
    linebuffer.LineOwnOperation: _once(lines.own_operation),
    functions.DivByZero: _once(lines.divide_or),
    functions.DivZeroByZero: _once(lines.divide_or_two),
    functions.Cmp: _once(lines.compare),
    functions.CmpEx: _once(lines.choose_by_comparison),
    functions.If: _once(lines.choose),
    functions.MultiLogic: _once(lines.logic),
    ind.Average: _once(periods.average),
    ind.WeightedAverage: _once(periods.weighted_average),
    ind.OperationN: _once(periods.operation),
    ind.ExponentialSmoothing: _once(periods.smooth),
    ind.ExponentialSmoothingDynamic: _once(periods.smooth_by_lines),
    ind.Accum: _once(periods.accumulate),
    ind.NonZeroDifference: _once(periods.last_difference),
    ind.LaguerreRSI: _next(steps.laguerre_rsi),
    ind.LaguerreFilter: _next(steps.laguerre_filter),
    ind.ZeroLagIndicator: _next(steps.zero_lag),
    ind.ParabolicSAR: _next(steps.parabolic_sar),
}


def fast_way(cls: type) -> Fast | None:
    """The fast way of a class, unless it has a method of its own in its place."""
    for base in cls.__mro__:
        if base in FAST:
            fast = FAST[base]
            same = all(getattr(cls, name) is getattr(base, name) for name in fast.needs)
            return fast if same else None
    return None
