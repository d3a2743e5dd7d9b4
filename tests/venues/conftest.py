"""Positions under a venue's page, as a trader would hold them."""

from collections.abc import Callable
from typing import Any

import pytest

from bt_margin.core.account import Account
from bt_margin.core.position import Position
from bt_margin.venues import Venue


@pytest.fixture
def hold() -> Callable[..., Account]:
    """Hold positions on one wallet, under the rules and (if none are given) the tiers
    of a page. With one position that is an isolated wallet as well as a cross one."""

    def held(venue: Venue, cash: float, *positions: dict[str, Any]) -> Account:
        account = Account(cash, cross_margin_basis=venue.cross_margin_basis)
        for each in positions:
            facts = {"symbol": "BTCUSDT", "leverage": 1, "tiers": None, **each}
            terms = facts.get("terms", {})
            tiers = facts["tiers"] or venue.tiers_of(
                facts["symbol"], inverse=terms.get("inverse")
            )
            contract = venue.contract(facts["symbol"], tiers, **terms)
            position = Position(
                contract, facts["size"], facts["entry"], facts["leverage"]
            )
            account.put(position, account.shared)
        return account

    return held
