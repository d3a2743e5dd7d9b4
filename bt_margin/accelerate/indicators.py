"""Stock indicators computed as arrays in Backtrader's ``once`` phase.

Most indicators are made of a few base operations, so these are what is replaced:
arithmetic, logic and delays on lines, and the operations over periods. Everything
built of them is faster at once, a user's own indicator too. Nothing is replaced on
classes: inside ``array_once`` each strategy has its own ``_once``, which visits the
same objects in the same order as Backtrader's, fills their buffers in one piece, and
asks an object's own ``once`` wherever it does not know better:

- a class whose ``once``, ``next`` or helpers are not Backtrader's
- an object with a method of its own
- some thousand bars with a division by zero, NaN in a window, magnitudes beyond 1e±200

What is the same to the last bit: everything. In particular

==========================================  ==========================================
averages, sums (``Average``, ``SumN``,      the exact sum rounded once, as
``WeightedAverage``)                        ``math.fsum`` does
exponential smoothing (``EMA``, ``SMMA``,   the recurrence itself, bar by bar
``KAMA``)
powers (``StdDev``, ``BollingerBands``)     Python's own ``pow``, which no array
                                            function matches in the last digit
divisions by zero                           stock code, which raises where it did
NaN                                         NaN where stock has it; which of two
                                            NaNs survives (their sign) is the
                                            processor's choice
==========================================  ==========================================
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import backtrader as bt
import numpy as np
from backtrader.linebuffer import LineActions, LineBuffer
from backtrader.lineiterator import LineIterator
from backtrader.lineroot import LineRoot
from backtrader.lineseries import Lines, LineSeries

from bt_margin.accelerate.buffers import Blank, copy_to_bindings, lengthen
from bt_margin.accelerate.kernels import Fast, fast_way
from bt_margin.accelerate.steps import move_pointers
from bt_margin.accelerate.windows import Unsupported

STARTS = (LineRoot.oncestart, LineIterator.oncestart)  # no more than a first ``once``
STRETCH = 8192  # bars at a time: what is worked on stays in the processor's cache
OWN = frozenset(("oncestart", "preonce"))


@contextmanager
def array_once(strategies: Iterable[bt.Strategy]) -> Iterator[None]:
    """Let these strategies compute their indicators as arrays, inside the block."""
    with ExitStack() as undo:
        for strategy in strategies:
            undo.callback(accelerate_indicators(strategy))
        yield


def accelerate_indicators(strategy: bt.Strategy) -> Callable[[], None]:
    """Give one strategy a ``_once`` that computes arrays; returns what undoes it."""
    own = vars(strategy)
    if "_once" in own or type(strategy)._once is not LineIterator._once:
        return lambda: None

    def once() -> None:
        _Walk().visit_iterator(strategy)

    def restore() -> None:
        if own.get("_once") is once:
            del own["_once"]

    own["_once"] = once
    return restore


class _Walk:
    """One pass over a tree of line objects."""

    def __init__(self) -> None:
        self._blank = Blank()
        self._known: dict[type, Fast | None] = {}

    def visit(self, item: Any) -> None:
        """Do what the object's ``_once`` does."""
        method = None if "_once" in vars(item) else type(item)._once
        if method is LineIterator._once:
            self.visit_iterator(item)
        elif method is LineActions._once:
            self._forward(item, item._clock.buflen())
            item.home()
            self._calculate(item)
            _bind(item)
        else:
            item._once()

    def visit_iterator(self, item: Any) -> None:
        """Do what Backtrader's ``_once`` of an indicator or a strategy does."""
        self._forward(item, item._clock.buflen())
        indicators = item._lineiterators[LineIterator.IndType]
        observers = item._lineiterators[LineIterator.ObsType]
        for indicator in indicators:
            self.visit(indicator)
        for observer in observers:
            self._forward(observer, item.buflen())
        for part in (*item.datas, *indicators, *observers, item):
            part.home()
        self._calculate(item)
        for line in item.lines:
            _bind(line)

    def _forward(self, item: Any, size: int) -> None:
        """Lengthen an object's lines, at once unless it has a way of its own."""
        method = None if "forward" in vars(item) else type(item).forward
        if method is LineSeries.forward and type(item.lines).forward is Lines.forward:
            for line in item.lines:
                lengthen(line, size, self._blank)
        elif method is LineBuffer.forward:
            lengthen(item, size, self._blank)
        else:
            item.forward(size=size)

    def _calculate(self, item: Any) -> None:
        """Compute an object's values: those before its period, its first, the rest."""
        start, end = item._minperiod - 1, item.buflen()
        fast = self._fast_way(item) if 0 <= start < end else None
        if fast is not None and fast.whole and _done(fast, item, start, end):
            move_pointers(item, end)
            return
        item.preonce(0, start)
        if fast is None or fast.whole or type(item).oncestart not in STARTS:
            item.oncestart(start, start + 1)
            start += 1
        if fast is None or fast.whole:
            item.once(start, end)
        else:
            _fill(fast, item, start, end)

    def _fast_way(self, item: Any) -> Fast | None:
        cls = type(item)
        if cls not in self._known:
            self._known[cls] = fast_way(cls)
        fast = self._known[cls]
        if fast is None or not (OWN | fast.needs).isdisjoint(vars(item)):
            return None
        return fast


def _fill(fast: Fast, item: Any, start: int, end: int) -> None:
    """Compute bars in stretches, each by the fast way or else by stock code."""
    size = max(STRETCH, 4 * item._minperiod)
    for first in range(start, end, size):
        last = min(first + size, end)
        if not _done(fast, item, first, last):
            item.once(first, last)


def _done(fast: Fast, item: Any, start: int, end: int) -> bool:
    """Try the fast way; whether it was possible."""
    try:
        with np.errstate(all="ignore"):
            fast.kernel(item, start, end)
    except Unsupported:
        return False
    return True


def _bind(line: Any) -> None:
    own = "oncebinding" in vars(line)
    if own or type(line).oncebinding is not LineBuffer.oncebinding:
        line.oncebinding()
    elif line.bindings:
        copy_to_bindings(line)
