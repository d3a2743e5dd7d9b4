"""The contract of a perpetual, as a Backtrader commission scheme."""

from typing import Any

import backtrader as bt

from bt_margin.core.contract import Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import MarginMode

from .refusal import finite_number, positive_number, refuse_unknown

__all__ = ["PerpCommission", "PlainCommission", "TradeScheme"]


class PerpCommission(bt.CommInfoBase):
    """A perpetual contract: ``broker.addcommissioninfo(PerpCommission(...), name=)``.

    What is left ``None`` is the broker's setting or the venue's rule. With stock
    accounting it is a stock-like scheme; a leverage and a taker fee that are given
    here count there too.

    Params:
        leverage: the user's setting for the symbol.
        maker_fee_rate: share of notional for a limit order that rested.
        taker_fee_rate: share of notional for every other fill.
        contract_size: base coins per contract; inverse: quote units.
        inverse: settled in the base coin.
        tiers: maintenance margin and leverage bounds, a `TierTable` or `SizeTiers`.
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

    def __init__(self, **unknown: Any) -> None:
        super().__init__()
        refuse_unknown(type(self), unknown)
        for name in ("leverage", "contract_size"):
            if getattr(self.p, name) is not None:
                positive_number(name, getattr(self.p, name))
        for name in ("maker_fee_rate", "taker_fee_rate"):
            if getattr(self.p, name) is not None:
                finite_number(name, getattr(self.p, name))
        if self.p.margin_mode not in (None, *MarginMode):
            fix = "give one of " + ", ".join(MarginMode)
            raise ParameterError("margin_mode", self.p.margin_mode, fix)
        tiers = self.p.tiers or TierTable.flat(0, 1)
        self._contract = Contract("", tiers, **self.contract_terms())

    def contract_terms(self) -> dict[str, Any]:
        """The fields of `Contract` that the scheme sets."""
        names = ("contract_size", "inverse", "size_step", "price_tick")
        return {
            name: getattr(self.p, name)
            for name in (*names, "min_quantity", "min_notional")
        }

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


class PlainCommission(bt.CommInfoBase):
    """The scheme of a plain ``setcommission``, for an account with margin.

    It is Backtrader's, whole units included, but for ``getsize``: leverage divides
    the margin of a size and does not multiply the size.
    """

    @classmethod
    def of(cls, scheme: Any) -> "PlainCommission":
        """The scheme with the parameters of a stock one, as that one reads them."""
        params = {name: getattr(scheme.p, name) for name in scheme.p._getkeys()}
        plain: PlainCommission = cls(**{**params, "percabs": True})
        return plain

    def getsize(self, price: float, cash: float) -> int:
        """Whole contracts of notional ``cash`` at ``price``."""
        return int(cash // (price * self.p.mult))


class TradeScheme:
    """The scheme of an inverse contract, for the trade that an execution changes.

    Backtrader's trades average their entry price by size. Of contracts settled in
    coin the average is harmonic, and only it gives the gain that the ledger books.

    Args:
        scheme: of the feed; everything else is its answer.
        entry_before: of the trade, before the execution.
        entry_after: of what the execution leaves open.
    """

    def __init__(self, scheme: Any, entry_before: float, entry_after: float) -> None:
        self._scheme = scheme
        self._entry_before = entry_before
        self._entry_after = entry_after

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copying asks for these before there is a scheme
            raise AttributeError(name)
        return getattr(self._scheme, name)

    def profitandloss(self, size: float, price: float, newprice: float) -> float:  # noqa: ARG002
        """Gain (+) of signed ``size`` from the trade's entry to ``newprice``."""
        gain: float = self._scheme.profitandloss(size, self._entry_before, newprice)
        return gain

    def getvaluesize(self, size: float, price: float) -> float:  # noqa: ARG002
        """Signed notional at the trade's entry, settle currency."""
        if not size:
            return 0.0
        notional: float = self._scheme.getvaluesize(size, self._entry_after)
        return notional
