"""Rules: the pages of venues in words, and their tiers."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from bt_margin.core.adjust import RemovalRule
from bt_margin.core.policy import (
    CompliantStep,
    CrossScope,
    FractionStep,
    LiquidationPolicy,
    OrderScope,
    Settlement,
    TierStep,
)
from bt_margin.core.size_tiers import SizeTiers
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import FundingSource, MarginMode
from bt_margin.venues import Controls, OrderMarginRule, Tiers, Venue

from .tables import pair_table, row_table

__all__ = ["print_tiers", "print_venue", "print_venues"]

Pairs = Iterator[tuple[str, str]]

_CANCELS = {
    OrderScope.WALLET: "every order of the wallet's symbols",
    OrderScope.SYMBOL: "the orders of the liquidated symbols",
    OrderScope.ADDING: "the orders that could add to a position of the wallet",
}
_SETTLEMENTS = {
    Settlement.BANKRUPTCY: "at the bankruptcy price: nothing of that margin returns",
    Settlement.MARKET: "in the market: what is left after the fee returns",
}
_CROSS_SCOPES = {
    CrossScope.ALL: "all positions of the wallet at once",
    CrossScope.HEDGED_FIRST: "what a symbol's long and short offset, then all",
    CrossScope.LARGEST_LOSS_FIRST: "the largest loss first, until the wallet is safe",
}
_STEP_WORDS = ((TierStep, "tiers"), (FractionStep, "fraction"), (CompliantStep, "part"))


def print_venues(console: Console, venues: Sequence[Venue]) -> None:
    """A line for each venue."""
    rows = [
        {
            "venue": venue.name,
            "contracts": _one_or_both(venue.kinds),
            "margin": _one_or_both(venue.margin_modes),
            "tiers as of": str(venue.tables_as_of or "-"),
            "leverage": f"{venue.max_leverage:g}x",
            "liquidation": _liquidation_in_a_word(venue.liquidation),
        }
        for venue in venues
    ]
    words = tuple(heading for heading in rows[0] if heading != "leverage")
    console.print(row_table(rows, words=words))


def _one_or_both(names: Sequence[str]) -> str:
    return "both" if len(names) == 2 else ", ".join(names)


def _liquidation_in_a_word(policy: LiquidationPolicy) -> str:
    """``part, then market``: what goes first, and the price of the rest."""
    if policy.step is None:
        return str(policy.settlement)
    word = next((w for kind, w in _STEP_WORDS if isinstance(policy.step, kind)), "step")
    return f"{word}, then {policy.settlement}"


def print_venue(console: Console, venue: Venue) -> None:
    """Every rule of a venue's page, with its sources and open points."""
    pairs = (*_terms(venue), *_tiers(venue), *_margin(venue), *_liquidation(venue))
    console.print(venue.name, style="bold")
    console.print()
    console.print(pair_table((*pairs, *_record(venue))))


def _terms(venue: Venue) -> Pairs:
    settled = {"linear": "settled in the quote currency", "inverse": "in the coin"}
    yield "contracts", "; ".join(f"{kind}, {settled[kind]}" for kind in venue.kinds)
    yield "margin modes", ", ".join(venue.margin_modes)
    modes = ", ".join(mode.replace("_", " ") for mode in venue.position_modes)
    yield "position modes", modes
    yield (
        "fees",
        f"maker {_rate(venue.maker_fee_rate)}, taker {_rate(venue.taker_fee_rate)}",
    )


def _tiers(venue: Venue) -> Pairs:
    tables = venue.all_tables()
    rates = [tier.maintenance_margin_rate for table in tables for tier in table]
    lowest, highest = min(rates), max(rates)
    span = _rate(lowest)
    if lowest != highest:
        span += f" to {_rate(highest)}"
    yield "maintenance margin", f"{span} of notional at {venue.maintenance_basis}"
    fee = venue.closing_fee_rate
    counted = f"{_rate(fee)} of notional at mark" if fee else "not counted"
    yield "closing fee in maintenance", counted
    fee = venue.reserved_fee_rate
    words = "of the value at bankruptcy, in initial and maintenance margin alike"
    yield "reserved closing fee", f"{_rate(fee)} {words}" if fee else "none"
    yield "tiers", "; ".join(dict.fromkeys(_style(table) for table in tables))
    if venue.tables:
        yield "tiers of", ", ".join(sorted(venue.tables))
    if venue.inverse_tables:
        yield "inverse tiers of", ", ".join(sorted(venue.inverse_tables))
    if venue.tiers:
        yield "any other symbol" if venue.tables else "any symbol", _style(venue.tiers)
    if venue.tables_as_of:
        yield "tiers as of", str(venue.tables_as_of)
    yield "highest leverage", f"{venue.max_leverage:g}x"


def _style(tiers: Tiers) -> str:
    """How a requirement follows from the tiers."""
    if isinstance(tiers, SizeTiers):
        if any(tier.slope for tier in tiers):
            return "by size: the rate rises with every unit held"
        return "by size: the whole position has the rate of its tier"
    if len(tiers) == 1:
        return "one for every notional"
    if any(tier.maintenance_amount for tier in tiers):
        return "progressive: each rate applies to the notional above its floor"
    return "by notional: the whole position has the rate of its tier"


def _margin(venue: Venue) -> Pairs:
    if MarginMode.ISOLATED in venue.margin_modes:
        yield "isolated margin on", f"notional at {venue.isolated_margin_basis}"
    yield "cross margin on", f"notional at {venue.cross_margin_basis}"
    yield "a resting order locks", _order_margin(venue.order_margin)
    if MarginMode.ISOLATED in venue.margin_modes:
        yield from _isolated_controls(venue.controls)
    yield from _controls(venue.controls)
    first, hours = venue.first_funding_hour, venue.funding_hours
    every = "every hour" if hours == 1 else f"every {hours} hours"
    yield "funding", f"{every}, from {first:02}:00 UTC"
    payer = "the wallet of the position"
    if venue.funding_source is FundingSource.AVAILABLE:
        payer = "the available balance first, then the wallet of the position"
    yield "funding is paid by", payer


def _order_margin(rule: OrderMarginRule) -> str:
    parts = ["its initial margin"]
    if rule.open_loss:
        parts.append("what it would lose at once")
    if rule.fees:
        parts.append("its opening fee and the reserved closing fee")
    stops = "before their trigger, too" if rule.untriggered_stops else "once triggered"
    return f"{', '.join(parts)}; stops {stops}"


def _isolated_controls(controls: Controls) -> Pairs:
    yield "margin can be added", _yes(controls.adds_margin)
    yield "margin can be removed", _removal(controls.removal)
    yield "margin added by itself", "if asked to" if controls.auto_margin else "no"
    ways = ("lowered", controls.lowers_isolated_leverage)
    others = ("raised", controls.raises_isolated_leverage)
    allowed = [word for word, can in (ways, others) if can]
    text = f"can be {' and '.join(allowed)}" if allowed else "is fixed"
    if allowed:
        moves = "follows" if controls.leverage_moves_margin else "stays"
        text += f"; its margin {moves}"
    yield "leverage of an isolated position", text


def _controls(controls: Controls) -> Pairs:
    yield "leverage changes with orders", _yes(controls.leverage_with_orders)
    yield "margin mode changes with orders", _yes(controls.mode_with_orders)
    scope = "of the whole account" if controls.mode_of_account else "of each symbol"
    yield "margin mode is", scope


def _yes(allowed: bool) -> str:
    return "yes" if allowed else "no"


def _removal(rule: RemovalRule | None) -> str:
    """What has to stay."""
    if rule is None:
        return "no"
    kept = ["maintenance margin, gains counted"]
    if rule.keeps_initial:
        kept.append("initial margin at mark, gains counted")
    if rule.keeps_maintenance:
        kept.append("maintenance margin, gains not counted")
    if rule.kept_notional_share:
        kept.append(f"{rule.kept_notional_share:.0%} of notional at mark")
    if rule.only_added:
        kept.append("all that was not added by hand")
    needed = [word for word in kept if word not in kept[:1]] or kept
    return f"down to {'; '.join(needed)}"


def _liquidation(venue: Venue) -> Pairs:
    policy = venue.liquidation
    yield "liquidated when", "margin balance <= maintenance margin, at mark"
    yield "liquidation cancels", _CANCELS[policy.cancel]
    if policy.step is not None:
        yield "it closes first", _step(policy)
    rest = "the rest closes" if policy.step else "it closes"
    yield rest, _SETTLEMENTS[policy.settlement]
    yield "liquidation fee", _rate(policy.fee_rate) if policy.fee_rate else "none"
    if policy.slippage:
        yield "slippage of its close", f"{_rate(policy.slippage)} of mark"
    if policy.spread_rate:
        words = "the maintenance rate x the share of maintenance that is lost"
        yield "its price is worse by", f"{policy.spread_rate:g} x {words}"
    if policy.backstop:
        yield "backstop", f"all is lost below {policy.backstop:.1%} of maintenance"
    yield "in a cross wallet go", _CROSS_SCOPES[policy.cross_scope]


def _step(policy: LiquidationPolicy) -> str:
    """What is closed before all is."""
    step, where = policy.step, _SETTLEMENTS[policy.step_settlement].partition(":")[0]
    if isinstance(step, TierStep):
        down = "the next lower tier" if step.down == 1 else f"{step.down} tiers lower"
        lowest = (
            "the lowest tier" if step.untouched == 1 else f"the lowest {step.untouched}"
        )
        return f"as much as brings it to {down}, {where}; in {lowest} all"
    if isinstance(step, FractionStep):
        words = f"{step.fraction:.0%}, {where}"
        if step.above_notional:
            words += f", of a notional above {step.above_notional:,.8g}, else all"
        if step.pause:
            words += f"; all if it fails again within {step.pause.total_seconds():g} s"
        return words
    if isinstance(step, CompliantStep):
        aim = f"maintenance is {step.margin_ratio:.0%} of the balance"
        return f"as much as it takes until {aim}, {where}"
    return f"a part, {where}"


def _record(venue: Venue) -> Pairs:
    yield "rounding", venue.rounding
    for revision in venue.revisions:
        fields = ", ".join(name.replace("_", " ") for name in sorted(revision.changes))
        yield f"before {revision.before}", f"{revision.note} ({fields})"
    for source in venue.sources:
        yield "source", source
    for point in venue.unverified:
        yield "not verified", point


def print_tiers(console: Console, tiers: Tiers, *, title: str, coin: bool) -> None:
    """A tier table.

    Args:
        console: where to.
        tiers: by notional or by size.
        title: whose they are.
        coin: notional is in coin, and size in quote units.
    """
    rows = (
        _size_rows(tiers, coin) if isinstance(tiers, SizeTiers) else _rows(tiers, coin)
    )
    console.print(row_table(rows, words=(), title=title))


def _rows(tiers: TierTable, coin: bool) -> list[dict[str, str]]:
    """Tiers by notional."""
    unit = "coin" if coin else "quote"
    return [
        {
            f"from\n({unit})": _number(tier.min_notional),
            f"to\n({unit})": _number(tier.max_notional),
            "maintenance\nrate": _rate(tier.maintenance_margin_rate),
            f"deduction\n({unit})": _number(tier.maintenance_amount or 0),
            "highest\nleverage": f"{tier.max_leverage:g}x",
        }
        for tier in tiers
    ]


def _size_rows(tiers: SizeTiers, coin: bool) -> list[dict[str, str]]:
    """Tiers by size."""
    unit = "quote units" if coin else "coins"
    has_slope = any(tier.slope for tier in tiers)
    return [
        {
            f"up to\n({unit})": _number(tier.max_units),
            "maintenance\nrate": _rate(tier.maintenance_margin_rate),
            **({"more for\neach unit": f"{tier.slope:.6%}"} if has_slope else {}),
            "highest\nleverage": f"{tier.max_leverage:.6g}x",
        }
        for tier in tiers
    ]


def _number(value: float) -> str:
    return "any" if value == float("inf") else f"{value:,.12g}"


def _rate(value: float) -> str:
    return f"{value:.4%}"
