"""Hindsight: cash and value at many calm bars at once, off the feeds' columns.

While the broker sleeps nothing moves but the marks, so the account's own formulas take
columns of marks in the place of numbers.
"""

from typing import Any

import numpy as np

from bt_margin.core.account import Account

from .instrument import Instrument
from .series import Numbers

__all__ = ["WIPED_OUT", "Hindsight"]

# As good as 0, and its square is still a float. Backtrader's analyzers divide by the
# value of the bar before and take logarithms of it: 0 would end the run with an error.
WIPED_OUT = 1e-100


class Hindsight:
    """What an account was worth while its broker slept.

    Args:
        account: as it is while the broker sleeps; no order rests.
        instruments: the only feed of each symbol that is held.
    """

    def __init__(self, account: Account, instruments: dict[str, Instrument]) -> None:
        self._account = account
        self._instruments = instruments

    def values(self, times: Numbers) -> Numbers:
        """Value at the end of each bar, by the times of the run's steps."""
        account: Any = self._account
        pnl = account.unrealized_pnl(self._marks(times))
        found = account.wallet_balance + pnl + np.zeros(len(times))
        values: Numbers = np.where(found == 0, WIPED_OUT, found)
        return values

    def cash(self, times: Numbers) -> Numbers:
        """Available balance at the end of each bar."""
        account: Any = self._account
        free = account.free_margin(self._marks(times)) + np.zeros(len(times))
        cash: Numbers = np.maximum(free, 0.0)
        return cash

    def _marks(self, times: Numbers) -> Any:
        """Columns of marks by symbol."""
        instruments, known = self._instruments, dict[str, Numbers]()

        def marks(symbol: str) -> Numbers:
            if symbol not in known:
                known[symbol] = instruments[symbol].closing_marks(times)
            return known[symbol]

        return marks
