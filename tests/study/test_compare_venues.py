"""Venues side by side: the same bars under other rules."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import backtrader as bt
import pandas as pd
import pytest

from bt_margin import compare
from bt_margin.core.errors import MarginError, ParameterError, UnknownNameError
from bt_margin.core.ledger import LedgerEntry
from bt_margin.core.tiers import TierTable
from bt_margin.data import Market, SymbolData, as_candles
from bt_margin.study import Comparison, Run
from bt_margin.venues import get_venue

# A long of 20 from 100 at 10x, on a margin of its own of 200, is liquidated where
# 200 + 20 * (mark - 100) = maintenance:
#   generic      0.5 %  of entry notional:  90.5
#   binanceusdm  0.4 %  of mark notional:   90 / 0.996  = 90.361
#   hyperliquid  1.25 % of mark notional:   90 / 0.9875 = 91.139
# so a low of 91 liquidates at hyperliquid alone, which leaves what is left at the mark:
# 0.0125 * 20 * 91.139 = 22.785.
DIP = [
    (100, 100, 100, 100),
    (100, 100, 100, 100),
    (100, 101, 91, 95),
    (95, 110, 95, 110),
    (110, 110, 110, 110),
]
VENUES = ("hyperliquid", "generic", "binanceusdm")  # not in the order of the alphabet
FEES = {"hyperliquid": 0.90, "generic": 1.00, "binanceusdm": 1.00}  # taker, of 2,000


def market(*symbols: str) -> Market:
    frame = pd.DataFrame(DIP, columns=["open", "high", "low", "close"]).assign(volume=1)
    frame.index = pd.date_range("2024-01-01", periods=len(DIP), freq="1h")
    names = symbols or ("BTCUSDT",)
    feeds = [SymbolData(name, as_candles(frame, where=name)) for name in names]
    return Market("hand-made", feeds)


class Hold(bt.Strategy):
    """Buys once."""

    def next(self) -> None:
        if len(self) == 1:
            self.buy(size=20)


class Fails(bt.Strategy):
    """Must not run."""

    def next(self) -> None:
        raise KeyError("ran")


@pytest.fixture(scope="module")
def venues() -> Comparison:
    return compare(Hold, market(), venue=VENUES, leverage=(10, 5), cash=1_000)


def test_a_run_for_each_venue_leverage_and_mode_in_the_order_asked_for(
    venues: Comparison,
) -> None:
    expected = [
        (venue, lever, mode)
        for venue in VENUES
        for lever in (10, 5)
        for mode in ("off", "isolated", "cross")
    ]
    assert list(venues.table.index) == expected
    assert venues.table.index.names == ["venue", "leverage", "mode"]
    assert [run.key for run in venues.runs] == expected
    assert venues.venues == VENUES


def movements(run: Run) -> list[LedgerEntry]:
    """The ledger without the numbers of orders, which Backtrader counts on."""
    return [replace(entry, ref="") for entry in run.ledger]


@pytest.mark.parametrize("venue", VENUES)
def test_a_venue_alone_and_beside_others_comes_to_the_same(
    venues: Comparison, venue: str
) -> None:
    alone = compare(Hold, market(), venue=venue, leverage=(10, 5), cash=1_000)
    pd.testing.assert_frame_equal(alone.table, venues.table.loc[[venue]])
    beside = [run for run in venues.runs if run.venue == venue]
    for one, other in zip(alone.runs, beside, strict=True):
        assert movements(one) == movements(other)
        assert one.executions == other.executions
        assert one.liquidations == other.liquidations
        pd.testing.assert_series_equal(one.equity, other.equity)


def test_processes_give_the_same_runs(venues: Comparison) -> None:
    together = compare(
        Hold, market(), venue=VENUES, leverage=(10, 5), cash=1_000, jobs=2
    )
    pd.testing.assert_frame_equal(venues.table, together.table)


@pytest.mark.parametrize("venue", VENUES)
def test_the_baseline_pays_the_taker_fee_of_its_venue(
    venues: Comparison, venue: str
) -> None:
    run = venues.run_of("off", 10, venue)
    assert run is not None
    assert run.figures.fees == pytest.approx(-FEES[venue])
    assert run.figures.final_balance == pytest.approx(1_000 - FEES[venue] + 200)


@pytest.mark.parametrize(
    ("venue", "final"),
    [
        pytest.param("generic", 1_000 - 1 + 200, id="generic lives: 91 is above 90.5"),
        pytest.param("binanceusdm", 1_000 - 1 + 200, id="binanceusdm lives: 90.361"),
        pytest.param(
            "hyperliquid",
            1_000 - 0.90 - 200 + 0.0125 * 20 * 90 / 0.9875,
            id="hyperliquid liquidates at 91.139 and leaves the rest",
        ),
    ],
)
def test_isolated_ends_as_the_rules_of_its_venue_say(
    venues: Comparison, venue: str, final: float
) -> None:
    finals = venues.table["final_balance"]
    assert finals[venue, 10.0, "isolated"] == pytest.approx(final)


def test_a_liquidation_is_listed_with_its_venue(venues: Comparison) -> None:
    (row,) = venues.liquidations.to_dict("records")
    listed = [row[name] for name in ("venue", "leverage", "mode", "mark_price")]
    assert listed == ["hyperliquid", 10, "isolated", pytest.approx(90 / 0.9875)]


def test_a_run_is_found_by_its_venue_and_else_the_first_venues_is(
    venues: Comparison,
) -> None:
    generic = venues.run_of("cross", 5, "generic")
    first = venues.run_of("cross", 5)
    assert generic is not None
    assert first is not None
    assert (generic.venue, first.venue) == ("generic", "hyperliquid")
    assert venues.run_of("cross", 5, "mtgox") is None
    assert venues.run_of("cross", 7, "generic") is None


def test_sentences_name_the_venue_and_say_how_venues_differ(
    venues: Comparison,
) -> None:
    sentences = venues.explain()
    assert (
        "At generic with 10x isolated and cross made the same trades: the same result."
        in sentences
    )
    assert any(
        line.startswith("At hyperliquid with 10x they parted at 2024-01-01 02:00 UTC")
        for line in sentences
    )
    assert sentences[-6:] == [
        "At 10x off only the taker fee differs between venues: highest final balance"
        " at hyperliquid (1,199.10), lowest at generic and binanceusdm (1,199.00).",
        "At 10x isolated: most liquidations at hyperliquid (1), fewest at generic and"
        " binanceusdm (0); highest final balance at generic and binanceusdm"
        " (1,199.00), lowest at hyperliquid (821.88).",
        "At 10x cross: no venue liquidated anything; highest final balance at"
        " hyperliquid (1,199.10), lowest at generic and binanceusdm (1,199.00).",
        "At 5x off only the taker fee differs between venues: highest final balance"
        " at hyperliquid (1,199.10), lowest at generic and binanceusdm (1,199.00).",
        "At 5x isolated: no venue liquidated anything; highest final balance at"
        " hyperliquid (1,199.10), lowest at generic and binanceusdm (1,199.00).",
        "At 5x cross: no venue liquidated anything; highest final balance at"
        " hyperliquid (1,199.10), lowest at generic and binanceusdm (1,199.00).",
    ]


def test_venues_that_end_alike_say_so() -> None:
    # At 12x both are liquidated above 91 (at 92.17 and 92.03), and both take all: the
    # fee of 1.25 % is more than the maintenance of 0.4 % that is left.
    result = compare(
        Hold,
        market(),
        venue=("generic", "binanceusdm"),
        leverage=12,
        cash=1_000,
        modes=("isolated",),
    )
    balance = 1_000 - 1 - 2_000 / 12
    assert result.explain() == [
        "At 12x isolated: every venue liquidated 1 position;"
        f" a final balance of {balance:,.2f} at every venue."
    ]


def test_one_venue_has_no_sentence_about_venues() -> None:
    result = compare(Hold, market(), venue=["generic"], cash=1_000)
    assert result.explain() == [
        "At 10x isolated and cross made the same trades: the same result."
    ]


def test_a_name_and_a_list_of_one_name_are_the_same() -> None:
    one = compare(Hold, market(), venue="hyperliquid", cash=1_000)
    listed = compare(Hold, market(), venue=iter(["hyperliquid"]), cash=1_000)
    pd.testing.assert_frame_equal(one.table, listed.table)
    assert one.venues == listed.venues == ("hyperliquid",)


def test_spread_and_ambiguous_bars_are_those_of_each_venue() -> None:
    result = compare(
        Hold, market(), venue=VENUES, cash=1_000, modes=("isolated",), bounds=True
    )
    assert result.spread.index.names == ["venue", "leverage", "mode", "figure"]
    counts = result.spread.xs("liquidations", level="figure").droplevel([1, 2])
    assert counts["highest"].to_dict() == {
        "hyperliquid": 1,
        "generic": 0,
        "binanceusdm": 0,
    }
    assert [run.key for run in result.bound_runs] == [
        (venue, 10, "isolated") for venue in VENUES for _ in range(4)
    ]
    assert list(result.ambiguous_bars)[:4] == ["venue", "leverage", "mode", "time"]


def test_given_tiers_hold_at_every_venue() -> None:
    # 4 % of entry notional: 90 + 4 = 94; of mark notional: 90 / 0.96 = 93.75.
    result = compare(
        Hold,
        market("X"),
        venue=VENUES,
        cash=1_000,
        modes=("isolated",),
        tiers={"X": TierTable.flat(0.04, max_leverage=10)},
    )
    # Binance closes a part there, and more of it further down.
    first = result.liquidations.drop_duplicates("venue")
    marks = first.set_index("venue")["mark_price"].to_dict()
    assert marks == pytest.approx(
        {"generic": 94, "binanceusdm": 93.75, "hyperliquid": 93.75}
    )


def test_stock_accounting_alone_needs_no_tier_table() -> None:
    result = compare(Hold, market("X"), venue=VENUES, cash=1_000, modes=("off",))
    assert len(result.runs) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param(
            {"venue": ()}, ParameterError, r"venue is \(\)", id="no venue at all"
        ),
        pytest.param({"venue": None}, ParameterError, "names of", id="nothing"),
        pytest.param(
            {"venue": get_venue("generic")},
            ParameterError,
            "names of",
            id="a page and not its name",
        ),
        pytest.param(
            {"venue": ("generic", "generic")},
            ParameterError,
            r"venue is .* each one once",
            id="a repeated venue",
        ),
        pytest.param(
            {"venue": ("generic", "mtgox")},
            UnknownNameError,
            "unknown venue 'mtgox': choose one of",
            id="one of two is unknown",
        ),
        pytest.param(
            {"venue": VENUES, "market": market("PEPEUSDT")},
            ParameterError,
            "venue is 'hyperliquid': it has no tier table for PEPEUSDT .* give tiers",
            id="a symbol without a tier table at one venue",
        ),
        pytest.param(
            {"venue": VENUES, "leverage": 100},
            ParameterError,
            "leverage is 100.0: the tiers of hyperliquid allow at most 40",
            id="a leverage that one venue gives for no symbol",
        ),
        pytest.param(
            {"venue": VENUES, "leverage": 30, "market": market("ETHUSDT")},
            ParameterError,
            "the tiers of ETHUSDT at hyperliquid allow at most 25",
            id="a leverage that one venue does not give for the symbol",
        ),
        pytest.param(
            {"venue": ("generic", "deribit")},
            ParameterError,
            r"deribit offers cross margin only: leave isolated out \(--modes off,cross",
            id="a mode that one venue does not offer",
        ),
        pytest.param(
            {"venue": ("generic", "deribit"), "modes": ("isolated",)},
            ParameterError,
            r"leave isolated out \(--modes off,cross",
            id="the only mode, that one venue does not offer",
        ),
        pytest.param(
            {"venue": ("generic", "binancecoinm")},
            ParameterError,
            "BTCUSDT is a linear market, quoted in USDT, and binancecoinm lists inverse"
            " contracts only; give a market quoted in USD, or another venue",
            id="a linear market where there are none",
        ),
        pytest.param(
            {"market": market("BTCUSDT", "ETHUSDC")},
            ParameterError,
            "USDT for BTCUSDT, USDC for ETHUSDC",
            id="two settle currencies",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    options: Mapping[str, Any], error: type[MarginError], message: str
) -> None:
    arguments = {"market": market(), **options}
    with pytest.raises(error, match=message):
        compare(Fails, **arguments)


def test_the_json_names_the_venues_and_each_runs_venue(tmp_path: Path) -> None:
    result = compare(
        Hold, market(), venue=VENUES, cash=1_000, modes=("isolated",), bounds=True
    )
    result.to_json(tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert document["venues"] == list(VENUES)
    assert [run["venue"] for run in document["runs"]] == list(VENUES)
    assert [run["venue"] for run in document["bounds"]] == [
        venue for venue in VENUES for _ in range(4)
    ]
    assert "venue" not in document
