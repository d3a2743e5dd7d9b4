"""The recorder: what a run shows, bar by bar and order by order."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import backtrader as bt

from bt_margin.analyzers import Refusal

__all__ = ["Execution", "Recorder"]


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill: bar time, symbol, signed size, price, and whether it was forced."""

    time: datetime
    symbol: str
    size: float
    price: float
    is_liquidation: bool


class Recorder(bt.Analyzer):
    """Keeps what a comparison needs of a run.

    Params:
        leverage: the run's, by which a position's margin is known in every mode.
    """

    params = (("leverage", 1.0),)

    def start(self) -> None:
        """Begin empty."""
        self.times: list[float] = []
        self.values: list[float] = []
        self.available: list[float] = []
        self.margin_use: list[float] = []
        self.executions: list[Execution] = []
        self.refusals: list[Refusal] = []
        self.closed_trades = 0
        self.commission = 0.0
        self.worst_loss_on_margin = 0.0
        self._peak_notional: dict[Any, float] = {}
        self._ended: dict[Any, deque[float]] = {}  # peaks of positions just closed
        broker = self.strategy.broker
        self._reads_margin = getattr(broker.p, "margin_mode", "off") != "off"

    def next(self) -> None:
        """Take the account as it stands after the bar."""
        broker = self.strategy.broker
        value = broker.getvalue()
        if self._reads_margin:
            summary = broker.margin_summary()
            value = summary.margin_balance
            self.margin_use.append(summary.initial_margin / value if value else 0.0)
        self.times.append(self.strategy.datetime[0])
        self.values.append(value)
        self.available.append(broker.getcash())

    def prenext(self) -> None:
        """Count the bars before the indicators are ready, too."""
        self.next()

    def notify_order(self, order: Any) -> None:
        """Take executions and refusals."""
        symbol = order.data._name
        for bit in order.executed.iterpending():
            liquidation = bool(order.info.get("liquidation"))
            self.executions.append(
                Execution(self._now(), symbol, bit.size, bit.price, liquidation)
            )
            self.commission += bit.comm
            self._weigh(order, bit)
        refusal = Refusal.of(order, self._now())
        if refusal is not None and order.status == order.Margin:
            self.refusals.append(refusal)

    def _weigh(self, order: Any, bit: Any) -> None:
        """Keep the largest entry notional of each position; a close or flip ends it."""
        data = order.data._compensate or order.data
        held = abs(order.comminfo.getvaluesize(bit.psize, bit.pprice or 1.0))
        peak = self._peak_notional.get(data, 0.0)
        if bit.closed and (not bit.psize or bit.opened):
            self._ended.setdefault(data, deque()).append(peak)
            peak = 0.0
        self._peak_notional[data] = max(peak, held)

    def notify_trade(self, trade: Any) -> None:
        """Weigh a closed trade against the most margin it had."""
        if not trade.isclosed:
            return
        self.closed_trades += 1
        ended = self._ended.get(trade.data)
        peak = ended.popleft() if ended else 0.0
        if peak:
            on_margin = trade.pnlcomm * self.p.leverage / peak
            self.worst_loss_on_margin = min(self.worst_loss_on_margin, on_margin)

    def _now(self) -> datetime:
        return self.strategy.datetime.datetime().replace(tzinfo=UTC)  # type: ignore[no-any-return]
