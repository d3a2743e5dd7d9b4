"""Hindsight: cash and value at many calm bars at once, off the feeds' columns.

While the broker sleeps nothing moves but the marks, so the account's own formulas take
columns of marks in the place of numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bt_margin.core.account import Account

from .instrument import Instrument
from .locking import RestingMargin
from .series import Numbers

__all__ = ["WIPED_OUT", "Hindsight"]

# As good as 0, and its square is still a float. Backtrader's analyzers divide by the
# value of the bar before and take logarithms of it: 0 would end the run with an error.
WIPED_OUT = 1e-100


class Hindsight:
    """What an account was worth while its broker slept.

    Args:
        account: as it is while the broker sleeps.
        instruments: the only feed of each symbol that is held, or has orders.
        resting: what orders ask for that have no open loss while the broker sleeps.
    """

    def __init__(
        self,
        account: Account,
        instruments: dict[str, Instrument],
        resting: Sequence[RestingMargin],
    ) -> None:
        self._account = account
        self._instruments = instruments
        self.resting = resting

    def values(self, times: Numbers) -> Numbers:
        """Value at the end of each bar, by the times of the run's steps."""
        account: Any = self._account
        pnl = account.unrealized_pnl(self._marks(times))
        found = account.wallet_balance + pnl + np.zeros(len(times))
        values: Numbers = np.where(found == 0, WIPED_OUT, found)
        return values

    def cash(self, times: Numbers) -> Numbers:
        """Available balance at the end of each bar."""
        account, marks = self._account, self._marks(times)
        locked: Any = np.zeros(len(times))
        for one in self.resting:
            at = marks(one.symbol).tolist()
            locked = locked + [one.locked(account, mark) for mark in at]
        cash: Numbers = np.maximum(account.free_margin(marks, locked), 0.0)
        return cash

    def _marks(self, times: Numbers) -> Any:
        """Columns of marks by symbol."""
        instruments, known = self._instruments, dict[str, Numbers]()

        def marks(symbol: str) -> Numbers:
            if symbol not in known:
                known[symbol] = instruments[symbol].closing_marks(times)
            return known[symbol]

        return marks
