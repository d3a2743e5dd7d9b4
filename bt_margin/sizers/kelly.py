"""The Kelly fraction of the account as margin, with a cap."""

from typing import Any

from bt_margin.broker.refusal import positive_number
from bt_margin.core.errors import ParameterError

from .fixed_fraction import FixedFraction

__all__ = ["Kelly"]


class Kelly(FixedFraction):
    """Every position locks the Kelly fraction: win rate - loss rate / payoff.

    A bet is what an isolated position can lose: its margin. Without a win rate both
    numbers are taken from the strategy's closed trades, after costs; before there are
    ``min_trades`` of them ``fraction`` is used. At 0 and below nothing is traded.
    Source: J. L. Kelly, "A New Interpretation of Information Rate" (1956).

    Params:
        win_rate: share of trades that win, or ``None``: measured.
        payoff: average win over average loss, or ``None``: measured.
        cap: largest fraction of wallets and unrealized PnL, as margin: full Kelly is
            more than most accounts survive.
        min_trades: closed trades before the measured numbers count.
        fraction: of wallets and unrealized PnL until then, as margin.
    """

    params: Any = (
        ("win_rate", None),
        ("payoff", None),
        ("cap", 0.05),
        ("min_trades", 30),
        ("fraction", 0.01),
    )

    def __init__(self) -> None:
        super().__init__()
        for name in ("cap", "min_trades"):
            positive_number(name, getattr(self.p, name))
        if (self.p.win_rate is None) is not (self.p.payoff is None):
            fix = "give win_rate and payoff, or neither"
            raise ParameterError("payoff", self.p.payoff, fix)
        if self.p.win_rate is not None and not 0 <= self.p.win_rate <= 1:
            fix = "give a share from 0 to 1"
            raise ParameterError("win_rate", self.p.win_rate, fix)
        if self.p.payoff is not None:
            positive_number("payoff", self.p.payoff)

    def quantity(self, data: Any, *, is_buy: bool) -> float:
        """The quantity whose initial margin is the Kelly fraction, capped."""
        kelly = self.kelly_fraction()
        if kelly is None:
            return super().quantity(data, is_buy=is_buy)
        margin = float(max(0.0, min(kelly, self.p.cap)) * self.broker.getvalue())
        return margin * self.leverage(data) / self.notional_of_one(data)

    def kelly_fraction(self) -> float | None:
        """Win rate - loss rate / payoff; ``None``: too few trades to tell."""
        if self.p.win_rate is not None:
            return float(self.p.win_rate - (1 - self.p.win_rate) / self.p.payoff)
        gains = self._gains()
        wins = [gain for gain in gains if gain > 0]
        losses = [-gain for gain in gains if gain <= 0]
        if len(gains) < self.p.min_trades:
            return None
        if not sum(losses):
            return 1.0
        if not wins:
            return -1.0
        payoff = (sum(wins) / len(wins)) / (sum(losses) / len(losses))
        return len(wins) / len(gains) - (len(losses) / len(gains)) / payoff

    def _gains(self) -> list[float]:
        """Gains of the strategy's closed trades, after costs."""
        by_data = self.strategy._trades.values()
        trades = [trade for ids in by_data for held in ids.values() for trade in held]
        return [float(trade.pnlcomm) for trade in trades if trade.isclosed]
