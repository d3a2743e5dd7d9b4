"""The contract of a perpetual, as a Backtrader commission scheme."""

from typing import Any

import backtrader as bt

from bt_margin.core.contract import Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.tiers import TierTable

__all__ = ["PerpCommission"]


class PerpCommission(bt.CommInfoBase):
    """A perpetual contract: ``broker.addcommissioninfo(PerpCommission(...), name=)``.

    What is left ``None`` is the broker's setting or the venue's rule. With stock
    accounting it is a stock-like scheme with leverage and the taker fee.

    Params:
        leverage: the user's setting for the symbol.
        maker_fee_rate: share of notional for a limit order that rested.
        taker_fee_rate: share of notional for every other fill.
        contract_size: base coins per contract; inverse: quote units.
        inverse: settled in the base coin.
        tiers: maintenance margin and leverage bounds by notional, a `TierTable`.
        size_step: sizes snap down to it.
        price_tick: prices snap to it, never to a better one.
        min_quantity: smallest order, in contracts.
        min_notional: smallest order, in the settle currency.
        margin_mode: ``"isolated"`` or ``"cross"``.
    """

    params = (
        ("leverage", None),
        ("maker_fee_rate", None),
        ("taker_fee_rate", None),
        ("contract_size", 1),
        ("inverse", False),
        ("tiers", None),
        ("size_step", None),
        ("price_tick", None),
        ("min_quantity", None),
        ("min_notional", None),
        ("margin_mode", None),
        ("stocklike", True),
        ("commtype", bt.CommInfoBase.COMM_PERC),
        ("percabs", True),
    )

    def __init__(self) -> None:
        super().__init__()
        if self.p.leverage is not None and not self.p.leverage > 0:
            raise ParameterError("leverage", self.p.leverage, "give a number above 0")
        self._contract = self.contract("", self.p.tiers or TierTable.flat(0, 1))

    def contract(self, symbol: str, tiers: TierTable, **rules: Any) -> Contract:
        """The contract under the name of a feed and the rules of a venue."""
        return Contract(
            symbol,
            self.p.tiers or tiers,
            contract_size=self.p.contract_size,
            inverse=self.p.inverse,
            size_step=self.p.size_step,
            price_tick=self.p.price_tick,
            min_quantity=self.p.min_quantity,
            min_notional=self.p.min_notional,
            **rules,
        )

    def get_leverage(self) -> float:
        """The symbol's leverage; 1 where it is the broker's to say."""
        return float(self.p.leverage or 1)

    def getsize(self, price: float, cash: float) -> float:
        """Contracts of notional ``cash`` at ``price``: not multiplied by leverage."""
        units = cash * price if self.p.inverse else cash / price
        quantity = abs(units) / self.p.contract_size
        snapped = self._contract.snapped_quantity(quantity)
        return snapped if cash >= 0 else -snapped

    def getvaluesize(self, size: float, price: float) -> float:
        """Signed notional, settle currency."""
        notional = self._contract.notional(size, price)
        return notional if size >= 0 else -notional

    def getvalue(self, position: Any, price: float) -> float:
        """Signed notional of a position, settle currency."""
        return self.getvaluesize(position.size, price)

    def getoperationcost(self, size: float, price: float) -> float:
        """Unsigned notional, settle currency."""
        return self._contract.notional(size, price)

    def profitandloss(self, size: float, price: float, newprice: float) -> float:
        """Gain (+) of signed ``size`` from ``price`` to ``newprice``."""
        return self._contract.pnl(size, price, newprice)

    def _getcommission(self, size: float, price: float, pseudoexec: bool) -> float:  # noqa: ARG002
        return self._contract.notional(size, price) * (self.p.taker_fee_rate or 0)
