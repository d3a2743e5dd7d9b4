"""Condition: what holds at a liquidation price, in symbols and in numbers."""

import re

from bt_margin.core.contract import Basis
from bt_margin.core.position import Position
from bt_margin.core.size_tiers import SizeTiers
from bt_margin.core.tiers import TierTable

__all__ = ["condition", "condition_in_numbers", "legend", "tier_in_words"]

_SYMBOLS = {
    "B": "balance behind the position",
    "q": "size in coins (inverse: in quote units), + long",
    "e": "entry price",
    "p": "liquidation price",
    "m": "maintenance rate of its tier",
    "c": "the tier's deduction",
    "f": "closing fee rate",
    "r": "fee reserved for a close at bankruptcy",
}


def condition(position: Position, mark: float) -> str:
    """Margin balance on the left, maintenance margin on the right, in symbols.

    Args:
        position: alone in its wallet.
        mark: whose tier says whether there is a deduction.
    """
    contract, inverse = position.contract, position.contract.inverse
    price = "p" if contract.maintenance_basis is Basis.MARK else "e"
    gain = "q (1/e - 1/p)" if inverse else "q (p - e)"
    required = f"|q| m / {price}" if inverse else f"|q| {price} m"
    if position.tier(mark).maintenance_amount:
        required += " - c"
    if contract.closing_fee_rate:
        required += " + |q| f / p" if inverse else " + |q| p f"
    if contract.reserved_fee_rate:
        required += " + r"
    return f"B + {gain} = {required}"


def legend(text: str) -> dict[str, str]:
    """The meaning of each symbol in a condition."""
    used = set(re.findall("[A-Za-z]", text))
    return {name: words for name, words in _SYMBOLS.items() if name in used}


def condition_in_numbers(position: Position, balance: float, price: float) -> str:
    """The same at ``price``, with what the right side comes to.

    Where tiers step up, the requirement can pass over the balance: then it says ``<``.
    """
    contract, entry = position.contract, position.entry_price
    left = balance + position.unrealized_pnl(price)
    required = position.maintenance_margin(price)
    close = abs(left - required) < position.entry_notional / 10**9
    sign = "=" if close else "<" if left < required else ">"
    units = abs(position.size) * contract.contract_size
    way = "+" if position.size > 0 else "-"
    gain = f"({price:,.8g} - {entry:,.8g})"
    if contract.inverse:
        gain = f"(1 / {entry:,.8g} - 1 / {price:,.8g})"
    terms = _requirement(position, price)
    return (
        f"{_amount(position, balance)} {way} {units:,.8g} x {gain} {sign} {terms}"
        f" = {_amount(position, required)}"
    )


def _requirement(position: Position, price: float) -> str:
    """The terms of the maintenance margin at ``price``."""
    contract, tier = position.contract, position.tier(price)
    units = abs(position.size) * contract.contract_size
    on_mark = contract.maintenance_basis is Basis.MARK

    def share(rate: float, at: float) -> str:
        if contract.inverse:
            return f"{units:,.8g} x {rate:.6g} / {at:,.8g}"
        return f"{units:,.8g} x {at:,.8g} x {rate:.6g}"

    base = price if on_mark else position.entry_price
    terms = share(tier.maintenance_margin_rate, base)
    if tier.maintenance_amount:
        sign = "-" if tier.maintenance_amount > 0 else "+"
        terms += f" {sign} {_amount(position, abs(tier.maintenance_amount))}"
    if contract.closing_fee_rate:
        terms += f" + {share(contract.closing_fee_rate, price)}"
    if contract.reserved_fee_rate:
        terms += f" + {_amount(position, position.reserved_fee)}"
    return terms


def tier_in_words(position: Position, price: float) -> str:
    """The tier that holds at ``price``, and where its rate comes from."""
    contract, tiers = position.contract, position.contract.tiers
    units = abs(position.size) * contract.contract_size
    if isinstance(tiers, SizeTiers):
        return _size_tier(tiers, units)
    if len(tiers) == 1:
        return "one for every notional"
    return _notional_tier(position, tiers, price)


def _size_tier(tiers: SizeTiers, units: float) -> str:
    place = tiers.place(units)
    tier = list(tiers)[place]
    words = f"{place + 1} of {len(tiers)}, by size: up to {tier.max_units:,.8g}"
    if tier.slope:
        rate = f"{tier.maintenance_margin_rate:.6g} + {tier.slope:.6g} x {units:,.8g}"
        words += f"; m = {rate}"
    return words


def _notional_tier(position: Position, tiers: TierTable, price: float) -> str:
    tier = position.tier(price)
    place = list(tiers).index(tier)
    basis = position.contract.maintenance_basis
    span = f"from {tier.min_notional:,.8g} to {tier.max_notional:,.8g}"
    if tier.max_notional == float("inf"):
        span = f"from {tier.min_notional:,.8g} on"
    return f"{place + 1} of {len(tiers)}: notional at {basis} {span}"


def _amount(position: Position, value: float) -> str:
    """An amount of the settle currency: coins need more places."""
    if position.contract.inverse:
        return f"{value:,.8f}"
    return f"{value:,.2f}" if position.entry_notional >= 100 else f"{value:,.6f}"
