"""Cursors: lines that always stand at the same place are moved by one number.

Backtrader keeps a place in every line and moves each of them at every bar. Here the
lines of a group share a cursor while the loop runs. Whoever moves one of them by hand
gets the lines back as Backtrader has them, at the places where they stand.
"""

from collections.abc import Callable, Iterable
from typing import Any

from backtrader.linebuffer import LineBuffer

__all__ = ["BoundLine", "Cursor"]


class Cursor:
    """Where lines stand that are moved together.

    Args:
        lines: line buffers of one length that do not forget.

    Attributes:
        idx: place in the lines' arrays.
        lencount: how long they are.
        is_shared: whether the lines take their place from here.
        others: the lines that do not, being of a class of their own.
        on_release: called when the lines are given back.
    """

    __slots__ = ("_bound", "idx", "is_shared", "lencount", "on_release", "others")

    def __init__(self, lines: Iterable[Any]) -> None:
        found = list(lines)
        self.idx: int = found[0]._idx
        self.lencount: int = found[0].lencount
        stands = (self.idx, self.lencount)
        self._bound = [
            line
            for line in found
            if type(line) is LineBuffer and (line._idx, line.lencount) == stands
        ]
        bound = set(map(id, self._bound))
        self.others = [line for line in found if id(line) not in bound]
        self.on_release: list[Callable[[], None]] = []
        self.is_shared = True
        for line in self._bound:
            line._cursor = self
            line.__class__ = BoundLine

    def move(self, count: int = 1) -> None:
        """Go on by some bars."""
        self.idx += count
        self.lencount += count
        for line in self.others:
            line._idx += count
            line.lencount += count

    def release(self) -> None:
        """Leave every line where it stands, as Backtrader has it."""
        if not self.is_shared:
            return
        self.is_shared = False
        for line in self._bound:
            line.__class__ = LineBuffer
            line._idx, line.lencount = self.idx, self.lencount
            del line._cursor
        self.others += self._bound
        for tell in self.on_release:
            tell()


class BoundLine(LineBuffer):
    """A line whose place is that of its cursor."""

    _cursor: Cursor

    @property
    def _idx(self) -> int:
        return self._cursor.idx

    @_idx.setter
    def _idx(self, idx: int) -> None:
        self._cursor.release()
        self._idx = idx

    @property
    def lencount(self) -> int:
        """How long it is."""
        return self._cursor.lencount

    @lencount.setter
    def lencount(self, lencount: int) -> None:
        self._cursor.release()
        self.lencount = lencount

    def __len__(self) -> int:
        return self._cursor.lencount

    def __getitem__(self, ago: int) -> float:
        found: float = self.array[self._cursor.idx + ago]
        return found
