"""Brackets: tier tables in the rows in which venues print them."""

from bt_margin.core.tiers import Tier, TierTable

__all__ = ["bracket_table"]


def bracket_table(*rows: tuple[float, float, float]) -> TierTable:
    """From (notional cap, maintenance margin rate, max leverage), lowest first."""
    floors = [0.0, *(cap for cap, _, _ in rows)]
    return TierTable(
        Tier(floor, cap, rate, leverage)
        for floor, (cap, rate, leverage) in zip(floors, rows, strict=False)
    )
