"""Terms: which contract, leverage, mode and fees hold for a feed.

Leverage: ``set_leverage``, then a `PerpCommission`'s, then a commission scheme's if
it is not 1, then the broker's. Fees: those of a commission scheme that the user set,
then the venue's.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import backtrader as bt

from bt_margin.core.contract import Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.position import Position
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import ContractKind, Venue

from .commission import PerpCommission

__all__ = ["Terms", "resolve_terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the fills of one feed.

    Attributes:
        contract: the contract.
        mode: who shares the wallet of a position that opens.
        comminfo: the Backtrader scheme behind it.
        leverage: the setting; ``None``: the scheme fixes the margin of a contract.
        maker_fee_rate: share of notional; ``None``: the scheme's commission.
        taker_fee_rate: the same for fills that did not rest.
    """

    contract: Contract
    mode: MarginMode
    comminfo: Any
    leverage: float | None
    maker_fee_rate: float | None
    taker_fee_rate: float | None

    def leverage_at(self, price: float) -> float:
        """Leverage of a fill at ``price``."""
        if self.leverage is not None:
            return self.leverage
        return self.contract.notional(1, price) / float(self.contract.fixed_margin or 1)

    def opening_margin(self, size: float, price: float) -> float:
        """What opening signed ``size`` at ``price`` locks."""
        leverage = self.leverage_at(price)
        return Position(self.contract, size, price, leverage).opening_margin

    def of_leg(self, leg: str) -> "Terms":
        """The same for one leg of the symbol."""
        return replace(self, contract=replace(self.contract, leg=leg))

    def capped(self) -> "Terms":
        """The same with no higher leverage than the tiers allow."""
        bound = self.contract.tiers.max_leverage
        if self.leverage is None or self.leverage <= bound:
            return self
        return replace(self, leverage=bound)

    def require_leverage(self) -> None:
        """Refuse a leverage above what the tiers allow at all.

        Raises:
            ParameterError: naming the bound.
        """
        bound = self.contract.tiers.max_leverage
        if self.leverage is not None and self.leverage > bound:
            symbol = self.contract.symbol or "this feed"
            fix = f"the tiers of {symbol} allow at most {bound}"
            raise ParameterError("leverage", self.leverage, fix)

    def reserved_fee(self, size: float, price: float) -> float:
        """Fee of a close at bankruptcy that a position of signed ``size`` reserves."""
        opened = Position(self.contract, size, price, self.leverage_at(price))
        return opened.reserved_fee

    @property
    def bears_interest(self) -> bool:
        """Whether the scheme may charge interest for holding a position."""
        scheme: Any = type(self.comminfo)
        return bool(self.comminfo.p.interest) or _has_own_interest(scheme)

    def fee(self, size: float, price: float, *, is_maker: bool) -> float:
        """Cash flow of a fill's fee: - paid."""
        rate = self.maker_fee_rate if is_maker else self.taker_fee_rate
        if rate is None:
            return -float(self.comminfo.getcommission(size, price))
        return -self.contract.notional(size, price) * rate


@cache
def _has_own_interest(scheme: type) -> bool:
    """Whether a commission scheme charges interest in a way of its own."""
    methods = ("get_credit_interest", "_get_credit_interest")
    return any(
        getattr(scheme, name) is not getattr(bt.CommInfoBase, name) for name in methods
    )


def resolve_terms(
    symbol: str,
    comminfo: Any,
    venue: Venue,
    *,
    leverage: float,
    mode: MarginMode,
    chosen_leverage: float | None = None,
    chosen_mode: MarginMode | None = None,
) -> Terms:
    """Terms of a feed from its scheme, the venue and the broker's settings.

    Args:
        symbol: the feed's name.
        comminfo: the feed's Backtrader scheme.
        venue: whose rules hold.
        leverage: the broker's.
        mode: the broker's.
        chosen_leverage: set for the feed during the run.
        chosen_mode: the same.

    Raises:
        ParameterError: the venue does not offer the contract or the margin mode.
        UnknownNameError: the venue has no tiers for the symbol.
    """
    fees: tuple[float | None, float | None] = (None, None)
    setting: float | None = leverage
    if isinstance(comminfo, PerpCommission):
        own = comminfo.p
        tiers = own.tiers or venue.tiers_of(symbol, inverse=own.inverse)
        contract = venue.contract(symbol, tiers, **comminfo.contract_terms())
        setting = own.leverage or leverage
        if own.margin_mode not in (None, mode) and venue.controls.mode_of_account:
            fix = f"{venue.name} has one margin mode for the whole account: give {mode}"
            raise ParameterError("margin_mode", own.margin_mode, fix)
        mode = MarginMode(own.margin_mode or mode)
        maker, taker = own.maker_fee_rate, own.taker_fee_rate
        fees = (
            venue.maker_fee_rate if maker is None else maker,
            venue.taker_fee_rate if taker is None else taker,
        )
    else:
        if ContractKind.LINEAR not in venue.kinds:
            fix = (
                f"it describes a linear contract, and {venue.name} lists inverse ones"
                " only: give addcommissioninfo(PerpCommission(inverse=True))"
            )
            scheme = type(comminfo).__name__
            raise ParameterError(f"commission of {symbol}", scheme, fix)
        setting, fixed = _margin_of_scheme(comminfo, leverage)
        contract = venue.contract(
            symbol,
            venue.tiers_of(symbol),
            contract_size=comminfo.p.mult,
            fixed_margin=None if chosen_leverage else fixed,
            inverse=False,
        )
    mode = chosen_mode or mode
    venue.require(mode)
    return Terms(contract, mode, comminfo, chosen_leverage or setting, *fees)


def _margin_of_scheme(
    comminfo: Any, leverage: float
) -> tuple[float | None, float | None]:
    """Leverage and fixed margin of a stock scheme: one of them is ``None``.

    A futures-like scheme names a margin for each contract: an amount, or with
    ``automargin`` a share of the price, which is a leverage.
    """
    own = float(comminfo.get_leverage())
    if comminfo.stocklike:
        return (leverage if own == 1 else own), None
    if comminfo.p.automargin:
        return own * comminfo.p.mult / float(comminfo.get_margin(1.0)), None
    return None, float(comminfo.get_margin(1.0)) / own
