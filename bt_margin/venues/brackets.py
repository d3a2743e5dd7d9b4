"""Brackets: tier tables in the rows in which venues print them."""

from bt_margin.core.tiers import Tier, TierTable

__all__ = ["bracket_table", "level_table"]


def bracket_table(*rows: tuple[float, ...]) -> TierTable:
    """Progressive tiers from (notional cap, maintenance rate, max leverage).

    Lowest first; a fourth number is the deduction as the venue prints it.
    """
    floors = [0.0, *(row[0] for row in rows)]
    return TierTable(
        Tier(floor, *row) for floor, row in zip(floors, rows, strict=False)
    )


def level_table(*rows: tuple[float, float, float]) -> TierTable:
    """The same rows where the whole position has the rate of its level."""
    return bracket_table(*((*row, 0) for row in rows))
