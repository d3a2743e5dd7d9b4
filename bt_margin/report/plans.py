"""Plans: where planned positions would be liquidated, as tables."""

from collections.abc import Sequence

from rich.console import Console

from bt_margin.study import PlannedPosition

from .tables import narrowed, pair_table

__all__ = ["print_plans"]

_WORDS = ("venue", "margin")
_LEAST_NEEDED = (
    "opening\nfee",
    "maintenance\nthere",
    "bankruptcy\nprice",
    "initial\nmargin",
)


def print_plans(
    console: Console,
    plans: Sequence[PlannedPosition],
    refused: Sequence[tuple[str, Exception]] = (),
) -> None:
    """One plan as a page, several a row each; below them who refuses the plan.

    Args:
        console: where to.
        plans: the same position at different venues, at least one.
        refused: venues by name, with their reasons.
    """
    print_one = len(plans) == 1 and not refused
    console.print(_title(plans), soft_wrap=True)
    console.print()
    if print_one:
        console.print(pair_table(_page(plans[0]), numbers=True))
        console.print()
        console.print(pair_table(_reasons(plans[0])))
    else:
        rows = [_row(plan, with_mode=_differ(plans)) for plan in plans]
        console.print(narrowed(console, rows, words=_WORDS, least_needed=_LEAST_NEEDED))
        console.print()
        console.print(
            pair_table((p.venue, f"{p.condition}\n{p.formula}") for p in plans)
        )
    console.print()
    console.print(_legend(plans), style="dim")
    if refused:
        console.print("\nNot possible at")
    for name, reason in refused:
        console.print(f"{name}: {reason}", soft_wrap=True)


def _differ(plans: Sequence[PlannedPosition]) -> bool:
    """Whether the plans stand in different margin modes."""
    return len({plan.margin_mode for plan in plans}) > 1


def _title(plans: Sequence[PlannedPosition]) -> str:
    """What is planned, in words."""
    plan = plans[0]
    modes = "" if _differ(plans) else f", {plan.margin_mode}"
    kind = " inverse" if plan.is_inverse else ""
    place = f" at {plan.venue}" if len(plans) == 1 else ""
    side = "long" if plan.size > 0 else "short"
    return (
        f"{side} {abs(plan.size):,.8g}{kind} {plan.symbol}{place}: entry"
        f" {plan.entry_price:,.8g}, notional {_amount(plan, plan.notional)},"
        f" leverage {plan.leverage:g}x{modes}"
    )


def _page(plan: PlannedPosition) -> list[tuple[str, str]]:
    """The numbers of one plan."""
    amounts = {
        "balance behind it": plan.wallet_balance,
        "initial margin": plan.initial_margin,
        "opening fee": plan.opening_fee,
        "order cost": plan.order_cost,
    }
    return [
        *((heading, _amount(plan, value)) for heading, value in amounts.items()),
        ("liquidation price", _price(plan.liquidation_price)),
        ("maintenance there", _amount(plan, plan.maintenance_margin)),
        ("distance", _share(plan.distance)),
        ("bankruptcy price", _price(plan.bankruptcy_price)),
    ]


def _reasons(plan: PlannedPosition) -> list[tuple[str, str]]:
    """Why the liquidation price is where it is."""
    return [
        ("liquidated where", plan.condition),
        ("in numbers", plan.formula),
        ("tier", plan.tier),
    ]


def _row(plan: PlannedPosition, *, with_mode: bool) -> dict[str, str]:
    """One venue among others."""
    return {
        "venue": plan.venue,
        **({"margin": plan.margin_mode.value} if with_mode else {}),
        "liquidation\nprice": _price(plan.liquidation_price),
        "distance": _share(plan.distance),
        "bankruptcy\nprice": _price(plan.bankruptcy_price),
        "initial\nmargin": _amount(plan, plan.initial_margin),
        "maintenance\nthere": _amount(plan, plan.maintenance_margin),
        "opening\nfee": _amount(plan, plan.opening_fee),
        "order\ncost": _amount(plan, plan.order_cost),
    }


def _legend(plans: Sequence[PlannedPosition]) -> str:
    """What the symbols of the conditions mean."""
    words: dict[str, str] = {}
    for plan in plans:
        words |= plan.legend
    return "; ".join(f"{name} {meaning}" for name, meaning in words.items())


def _amount(plan: PlannedPosition, value: float) -> str:
    """An amount of the settle currency: coins need more places."""
    if plan.is_inverse:
        return f"{value:,.8f}"
    return f"{value:,.2f}" if plan.notional >= 100 else f"{value:,.6f}"


def _price(value: float | None) -> str:
    return "none" if value is None else f"{value:,.8g}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:+.2%}"
