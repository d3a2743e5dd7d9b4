"""Terms: which contract, leverage, mode and fees hold for a feed.

Leverage: ``set_leverage``, then a `PerpCommission`'s, then a commission scheme's if
it is not 1, then the broker's. Fees: those of a commission scheme that the user set,
then the venue's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import backtrader as bt

from bt_margin.core.contract import Contract
from bt_margin.core.errors import ParameterError
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import Venue

from .commission import PerpCommission

__all__ = ["Terms", "positive_number", "refuse_unknown", "resolve_terms"]

_NOTHING_SET = bt.broker.BrokerBase.params.commission


def positive_number(name: str, value: Any) -> float:
    """``value`` as a float above 0 and below infinity.

    Raises:
        ParameterError: it is anything else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ParameterError(name, value, "give a number above 0")
    return number


def refuse_unknown(owner: Any, unknown: Mapping[str, Any]) -> None:
    """Refuse arguments that a Backtrader class has no parameter for.

    Raises:
        ParameterError: naming the first one and the parameters there are.
    """
    for name, value in unknown.items():
        known = ", ".join(owner.params._getkeys())
        fix = f"{owner.__name__} has no such parameter; it has {known}"
        raise ParameterError(name, value, fix)


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
        margin = self.comminfo.get_margin(price) / self.comminfo.get_leverage()
        return self.contract.notional(1, price) / float(margin)

    @property
    def bears_interest(self) -> bool:
        """Whether the scheme may charge interest for holding a position."""
        own = type(self.comminfo)
        methods = ("get_credit_interest", "_get_credit_interest")
        return bool(self.comminfo.p.interest) or any(
            getattr(own, name) is not getattr(bt.CommInfoBase, name) for name in methods
        )

    def fee(self, size: float, price: float, *, is_maker: bool) -> float:
        """Cash flow of a fill's fee: - paid."""
        rate = self.maker_fee_rate if is_maker else self.taker_fee_rate
        if rate is None:
            return -float(self.comminfo.getcommission(size, price))
        return -self.contract.notional(size, price) * rate


def resolve_terms(
    symbol: str, comminfo: Any, venue: Venue, *, leverage: float, mode: MarginMode
) -> Terms:
    """Terms of a feed from its scheme, the venue and the broker's settings.

    Args:
        symbol: the feed's name.
        comminfo: the feed's Backtrader scheme.
        venue: whose rules hold.
        leverage: the broker's.
        mode: the broker's.

    Raises:
        ParameterError: the leverage is above what the tiers allow at all.
    """
    rules: dict[str, Any] = {
        "maintenance_basis": venue.maintenance_basis,
        "closing_fee_rate": venue.closing_fee_rate,
    }
    fees: tuple[float | None, float | None] = (None, None)
    setting: float | None = leverage
    if isinstance(comminfo, PerpCommission):
        contract = comminfo.contract(symbol, venue.tiers, **rules)
        fees = (comminfo.p.maker_fee_rate, comminfo.p.taker_fee_rate)
        setting = comminfo.p.leverage or leverage
        mode = MarginMode(comminfo.p.margin_mode or mode)
    else:
        size = comminfo.p.mult
        contract = Contract(symbol, venue.tiers, contract_size=size, **rules)
        if not comminfo.stocklike:
            setting = None
        elif comminfo.get_leverage() != 1:
            setting = float(comminfo.get_leverage())
    if isinstance(comminfo, PerpCommission) or comminfo is _NOTHING_SET:
        maker, taker = fees
        fees = (
            venue.maker_fee_rate if maker is None else maker,
            venue.taker_fee_rate if taker is None else taker,
        )
    if setting is not None and setting > contract.tiers.max_leverage:
        bound = contract.tiers.max_leverage
        fix = f"the tiers of {symbol or 'this feed'} allow at most {bound}"
        raise ParameterError("leverage", setting, fix)
    return Terms(contract, mode, comminfo, setting, *fees)
