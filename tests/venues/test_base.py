"""One suite for every venue page: what holds whatever the rules of a venue are.

Each page that is registered, also as it held before each of its revisions, is put
through the same questions by way of the core: a few of its symbols, linear and
inverse, long and short, in every margin mode it offers, at notionals and leverages
inside the bounds of its tiers.

A page of one's own goes through it by being registered before the tests are
collected, in a module that pytest loads as a plugin:

    # my_venue.py
    from bt_margin import register_venue
    register_venue(Venue(name="mine", ...))

    python -m pytest -p my_venue tests/venues/test_base.py -k mine
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bt_margin import get_venue, venue_names
from bt_margin.core.account import Account, Marks
from bt_margin.core.adjust import max_addable, max_removable, move_margin
from bt_margin.core.contract import Contract
from bt_margin.core.fill import apply_fill
from bt_margin.core.funding import settle_funding
from bt_margin.core.ledger import LedgerEntryKind
from bt_margin.core.liquidation import Cause, LiquidationEvent
from bt_margin.core.liquidator import liquidate
from bt_margin.core.policy import Settlement
from bt_margin.core.size_tiers import SizeTiers
from bt_margin.core.tiers import TierTable
from bt_margin.core.wallet import MarginMode
from bt_margin.venues import ContractKind, PositionMode, Tiers, Venue

TIME = datetime(2025, 1, 1, tzinfo=UTC)
ENTRY = 1_000.0
CONTRACT_SIZE = 0.5
TICK = 1e-6  # of a price
DUST = 1e-9  # of the notional: what floats leave
MOST_SYMBOLS = 3
MOST_TIERS = 3
SIDES = {"long": 1, "short": -1}


def pages() -> Iterator[tuple[str, Venue]]:
    """Every page, and the pages of past days, by what to call them."""
    for name in venue_names():
        page = get_venue(name)
        yield name, page
        for day in page.days_of_change():
            yield f"{name} before {day}", page.at(day - timedelta(days=1))


PAGES = dict(pages())


@dataclass(frozen=True)
class Ground:
    """A symbol's contract on a page, and the margin mode it is held in.

    Attributes:
        page: whose rules.
        contract: of the symbol.
        mode: one that the page offers.
    """

    page: Venue
    contract: Contract
    mode: MarginMode

    @property
    def tiers(self) -> Tiers:
        return self.contract.tiers

    def quantity(self, notional: float) -> float:
        return notional / self.contract.notional(1, ENTRY)

    def bound(self, quantity: float) -> float:
        """The highest leverage of a position opened at `ENTRY`."""
        notional = self.contract.notional(quantity, ENTRY)
        return self.contract.tiers_of(quantity).tier_of(notional).max_leverage

    def spans(self) -> Iterator[tuple[float, float]]:
        """The quantities between which each tier holds at `ENTRY`, with an end."""
        by_size = isinstance(self.tiers, SizeTiers)
        some = 10.0 if self.contract.inverse and not by_size else 10_000.0
        for floor, ceiling in _ends(self.tiers):
            top = ceiling if ceiling < float("inf") else 2 * floor or some
            ends = floor, top
            if by_size:
                low, high = (end / self.contract.contract_size for end in ends)
            else:
                low, high = (self.quantity(end) for end in ends)
            yield low, high

    def quantities(self) -> Iterator[float]:
        """Sizes inside the first tiers, and inside the last one."""
        spans = list(self.spans())
        for low, high in (*spans[:MOST_TIERS], *spans[MOST_TIERS:][-1:]):
            yield low + (high - low) * 0.3

    def plans(self) -> Iterator[tuple[float, float]]:
        """Signed sizes with leverages up to the bound."""
        for quantity in self.quantities():
            bound = self.bound(quantity)
            for leverage in sorted({bound, max(1, bound / 3), min(1, bound)}):
                if leverage <= bound:
                    for side in SIDES.values():
                        yield side * quantity, leverage


def _ends(tiers: Tiers) -> Iterator[tuple[float, float]]:
    """Where each tier begins and ends, by notional or by units."""
    floor: float = 0
    for tier in tiers:
        end = tier.max_notional if hasattr(tier, "max_notional") else tier.max_units
        yield floor, end
        floor = end


def symbols(page: Venue, *, inverse: bool) -> list[str]:
    """The first few symbols with tiers of their own, or one without.

    None where a page lists such contracts and leaves their tiers to the user.
    """
    own = page.inverse_tables if inverse and not page.is_inverse else page.tables
    return list(own)[:MOST_SYMBOLS] or (["BTC"] if page.tiers else [])


def grounds() -> Iterator[tuple[str, Ground]]:
    for title, page in PAGES.items():
        for kind in page.kinds:
            inverse = kind is ContractKind.INVERSE
            for symbol in symbols(page, inverse=inverse):
                tiers = page.tiers_of(symbol, inverse=inverse)
                terms = {"inverse": inverse, "contract_size": CONTRACT_SIZE}
                contract = page.contract(symbol, tiers, **terms)
                for mode in page.margin_modes:
                    name = f"{title} {symbol} {kind} {mode}"
                    yield name, Ground(page, contract, mode)


GROUNDS = dict(grounds())
every_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
every_ground = pytest.mark.parametrize("ground", GROUNDS.values(), ids=GROUNDS)


class Held:
    """An account that holds one position, opened at `ENTRY`, and its marks.

    Args:
        ground: what is held where.
        size: signed, in contracts.
        leverage: the setting.
        spare: cash beside margin and fee, in initial margins.
        companion: share of the position held the other way in a second symbol.
    """

    def __init__(
        self,
        ground: Ground,
        size: float,
        leverage: float,
        spare: float = 0.5,
        companion: float = 0,
    ) -> None:
        self.ground, self.size, self.contract = ground, size, ground.contract
        self.key = self.contract.key
        self.notional = self.contract.notional(size, ENTRY)
        page = ground.page
        self.account = Account(
            self.notional * (1 + companion) * (2 / leverage * (1 + spare) + 0.01),
            cross_margin_basis=page.cross_margin_basis,
            isolated_margin_basis=page.isolated_margin_basis,
            funding_source=page.funding_source,
        )
        self.prices = {self.contract.symbol: ENTRY, "OTHER": ENTRY}
        self.open(self.contract, size, leverage)
        if companion:
            terms = {"inverse": self.contract.inverse, "contract_size": CONTRACT_SIZE}
            other = page.contract("OTHER", ground.tiers, **terms)
            self.open(other, -size * companion, leverage)
        self.wallet = self.account.wallet_of(self.key)

    def open(self, contract: Contract, size: float, leverage: float) -> None:
        fee = -contract.notional(size, ENTRY) * self.ground.page.taker_fee_rate
        mode = self.ground.mode
        terms = {"leverage": leverage, "mode": mode, "time": TIME, "fee": fee}
        apply_fill(self.account, contract, size, ENTRY, **terms)  # type: ignore[arg-type]

    @property
    def marks(self) -> Marks:
        return self.prices.__getitem__

    @property
    def dust(self) -> float:
        return self.notional * DUST

    @property
    def liquidation_price(self) -> float | None:
        return self.account.liquidation_price(self.key, self.marks)

    def surplus(self, mark: float) -> float:
        """Of the wallet with the position's symbol at ``mark``."""
        prices = {**self.prices, self.contract.symbol: mark}
        return self.account.summary(self.wallet, prices.__getitem__).surplus

    def toward_loss(self, price: float, share: float) -> float:
        """``price`` moved against the position by a share of it (-: for it)."""
        return price * (1 - share if self.size > 0 else 1 + share)

    def fall(self, price: float) -> list[LiquidationEvent]:
        """Liquidate with the symbol at ``price``, under the page's policy."""
        self.prices[self.contract.symbol] = price
        policy = self.ground.page.liquidation
        terms = {"time": TIME, "cause": Cause.PRICE, "policy": policy}
        return liquidate(self.account, self.wallet, self.marks, **terms)  # type: ignore[arg-type]


def held(ground: Ground, **terms: float) -> Iterator[Held]:
    """The plans of a ground, each held."""
    for size, leverage in ground.plans():
        yield Held(ground, size, leverage, **terms)


def fallen(ground: Ground, **terms: float) -> Iterator[tuple[Held, float]]:
    """The plans of a ground with prices that liquidate them: there and beyond."""
    for size, leverage in ground.plans():
        price = Held(ground, size, leverage, **terms).liquidation_price
        if price is not None:
            for beyond in (0, 0.002, 0.05, 0.3):
                position = Held(ground, size, leverage, **terms)
                mark = position.toward_loss(price, beyond)
                if position.surplus(mark) <= position.dust:
                    yield position, mark


# The page


@every_page
def test_the_page_is_whole(page: Venue) -> None:
    assert page.name in venue_names()
    assert page.sources
    assert all(isinstance(text, str) and text.strip() for text in page.sources)
    assert all(isinstance(text, str) and text.strip() for text in page.unverified)
    assert page.rounding.strip()
    assert bool(page.tables) == isinstance(page.tables_as_of, date)
    for chosen, known in (
        (page.margin_modes, MarginMode),
        (page.position_modes, PositionMode),
        (page.kinds, ContractKind),
    ):
        assert chosen
        assert len(set(chosen)) == len(chosen)
        assert set(chosen) <= set(known)
    # A rebate is a negative maker fee.
    assert -0.001 < page.maker_fee_rate <= page.taker_fee_rate < 0.01
    assert 0 <= page.closing_fee_rate < 0.01
    assert 0 <= page.reserved_fee_rate < 0.01
    assert 0 <= page.liquidation.fee_rate < 0.1
    assert page.max_leverage >= 1
    assert 0 < page.funding_hours <= 24
    assert 0 <= page.first_funding_hour < 24


@pytest.mark.parametrize("name", venue_names())
def test_a_revision_says_what_changed_and_changes_it(name: str) -> None:
    page = get_venue(name)
    names = {field.name for field in fields(Venue)} - {"name", "revisions"}
    for revision in page.revisions:
        assert revision.note.strip()
        assert revision.changes
        assert set(revision.changes) <= names
        eve = page.at(revision.before - timedelta(days=1))
        assert eve != page.at(revision.before)


# Tiers


@every_ground
def test_the_requirement_never_falls_from_tier_to_tier(ground: Ground) -> None:
    tiers = ground.tiers
    if isinstance(tiers, SizeTiers):
        rates = [
            tiers.at_size(units).maintenance_margin(1)
            for _, ceiling in list(_ends(tiers))[:-1]
            for units in (ceiling, ceiling * 1.001)
        ]
        assert rates == sorted(rates)
        return
    for below, above in zip(list(tiers), list(tiers)[1:], strict=False):
        floor = above.min_notional
        least = below.maintenance_margin(floor)
        assert above.maintenance_margin(floor) >= least * (1 - DUST)


@every_ground
def test_a_progressive_table_is_continuous(ground: Ground) -> None:
    tiers = ground.tiers
    if isinstance(tiers, TierTable) and any(t.maintenance_amount for t in tiers):
        for below, above in zip(list(tiers), list(tiers)[1:], strict=False):
            floor = above.min_notional
            before, after = (t.maintenance_margin(floor) for t in (below, above))
            assert after == pytest.approx(before, rel=1e-6)


@every_ground
def test_higher_tiers_allow_no_more_leverage(ground: Ground) -> None:
    bounds = [tier.max_leverage for tier in ground.tiers]
    assert bounds == sorted(bounds, reverse=True)


@every_ground
def test_opening_at_the_highest_leverage_is_not_liquidatable_at_once(
    ground: Ground,
) -> None:
    for low, high in ground.spans():
        for quantity in (low * 1.0001 or high * 0.001, high * 0.9999):
            for side in SIDES.values():
                opened = Held(ground, side * quantity, ground.bound(quantity), 0)
                assert opened.surplus(ENTRY) > 0, (side, quantity)


# Liquidation


@every_ground
def test_the_trigger_holds_at_the_liquidation_price_and_not_a_tick_before(
    ground: Ground,
) -> None:
    is_cross = ground.mode is MarginMode.CROSS
    for companion in (0, 0.5) if is_cross else (0,):
        for position in held(ground, spare=0, companion=companion):
            price, place = position.liquidation_price, (position.size, companion)
            assert position.surplus(ENTRY) > 0, place
            if price is None:
                end = 1e-9 if position.size > 0 else 1e9
                assert position.surplus(ENTRY * end) > -position.dust, place
                continue
            assert (price < ENTRY) is (position.size > 0), place
            assert position.surplus(price) <= position.dust, place
            assert position.surplus(position.toward_loss(price, -TICK)) > 0, place


@every_ground
def test_after_liquidation_the_ledger_sums_are_the_balances(ground: Ground) -> None:
    companion = 0.5 if ground.mode is MarginMode.CROSS else 0
    for position, mark in fallen(ground, spare=0, companion=companion):
        account = position.account
        before = account.wallet_balance
        events = position.fall(mark)
        assert events
        ledger, dust = account.ledger, position.dust
        for name, balance in ledger.balances.items():
            entries = (entry.amount for entry in ledger if entry.wallet == name)
            assert sum(entries) == pytest.approx(balance, abs=dust)
        transfers = ledger.total(LedgerEntryKind.TRANSFER)
        assert transfers == pytest.approx(0, abs=dust)
        lost = sum(event.loss + event.fee for event in events)
        assert account.wallet_balance == pytest.approx(before + lost, abs=dust)


@every_ground
def test_a_wallet_ends_safe_or_empty_and_never_below_zero(ground: Ground) -> None:
    companion = 0.5 if ground.mode is MarginMode.CROSS else 0
    for position, mark in fallen(ground, spare=0, companion=companion):
        position.fall(mark)
        account = position.account
        if account.positions_in(position.wallet):
            assert account.summary(position.wallet, position.marks).surplus > 0
            continue
        assert account.balance(position.wallet) >= -position.dust
        if ground.mode is MarginMode.ISOLATED:
            assert abs(account.balance(position.wallet)) <= position.dust


@every_ground
def test_what_is_left_returns_at_market_and_not_at_bankruptcy(ground: Ground) -> None:
    policy = ground.page.liquidation
    for position, mark in fallen(ground):
        account, wallet, dust = position.account, position.wallet, position.dust
        balance, total = account.balance(wallet), account.wallet_balance
        gain = account.positions[position.key].unrealized_pnl(mark)
        events = position.fall(mark)
        change = account.wallet_balance - total
        # Nobody loses more than the wallet held, or gains by a liquidation.
        still = account.unrealized_pnl(position.marks)
        assert -balance - dust <= change
        assert change + still <= max(gain, -balance) + dust
        if account.positions or len(events) > 1:
            continue  # in steps: no single price
        (event,) = events
        left, required = balance + gain, event.margin_before.maintenance_margin
        if policy.settlement is Settlement.BANKRUPTCY or left <= max(
            0, policy.backstop * required
        ):
            assert change == pytest.approx(-balance, abs=dust)
            continue
        contract, fill = position.contract, event.fill_price
        slip = contract.pnl(event.size, mark, fill)
        assert slip <= dust
        assert -event.fee <= contract.notional(
            event.size, fill
        ) * policy.fee_rate + max(0, contract.reserved_fee_rate * position.notional)
        kept = max(-balance, gain + slip + event.fee)
        assert change == pytest.approx(kept, abs=dust)


@every_ground
def test_an_isolated_liquidation_leaves_the_shared_wallet_alone(ground: Ground) -> None:
    if ground.mode is not MarginMode.ISOLATED:
        return
    for position, mark in fallen(ground):
        account = position.account
        before = account.balance(account.shared)
        position.fall(mark)
        assert account.balance(account.shared) >= before - position.dust


# Funding, and margin moved by hand


@every_ground
def test_opposite_positions_pay_each_other(ground: Ground) -> None:
    for size, leverage in ground.plans():
        sums = []
        for side in SIDES.values():
            position = Held(ground, side * size, leverage)
            account = position.account
            free = account.available_balance(position.marks)
            mark = ENTRY * 1.01
            terms = {"time": TIME, "available": free}
            event = settle_funding(account, position.key, 0.0003, mark, **terms)  # type: ignore[arg-type]
            booked = account.ledger.total(LedgerEntryKind.FUNDING)
            assert booked == pytest.approx(event.payment, abs=position.dust)
            assert (event.payment < 0) is (side * size > 0)
            sums.append(booked)
        assert sum(sums) == pytest.approx(0, abs=position.dust)


@every_ground
def test_added_margin_moves_the_liquidation_price_away(ground: Ground) -> None:
    if ground.mode is not MarginMode.ISOLATED:
        return
    for position in held(ground):
        before, key = position.liquidation_price, position.key
        most = max_addable(position.account, key, position.marks)
        assert most > 0
        move_margin(position.account, key, most / 2, time=TIME, ref="test")
        after = position.liquidation_price
        if before is None:
            assert after is None
        elif after is not None:
            assert (after < before) is (position.size > 0)
            assert after != before


@every_ground
@pytest.mark.parametrize("gain", [0, 0.02, -0.001])
def test_a_position_lives_after_all_that_can_be_was_removed(
    ground: Ground, gain: float
) -> None:
    rule, isolated = ground.page.controls.removal, ground.mode is MarginMode.ISOLATED
    if rule is None or not isolated:
        return
    for position in held(ground):
        account, key, marks = position.account, position.key, position.marks
        if ground.page.controls.adds_margin:
            most = max_addable(account, key, marks)
            move_margin(account, key, most / 2, time=TIME, ref="test")
        mark = position.toward_loss(ENTRY, -gain)
        position.prices[key] = mark
        if position.surplus(mark) <= 0:
            continue
        most = max_removable(account, key, marks, rule)
        move_margin(account, key, -most, time=TIME, ref="test")
        assert position.surplus(mark) > 0


# Pages of users

PLUGIN = """
from bt_margin import TierTable, Venue, register_venue
from bt_margin.core.contract import Basis

for name, leverage in (("sound", 50), ("fatal", 101)):
    tiers = TierTable.flat(0.01, leverage)
    page = Venue(name, Basis.MARK, 0, 0.001, tiers=tiers, sources=("my own desk",))
    register_venue(page)
"""


def test_a_page_of_a_user_goes_through_the_suite(tmp_path: Path) -> None:
    (tmp_path / "my_venue.py").write_text(PLUGIN, encoding="utf-8")
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(tmp_path), str(root)])
    words = ("-p", "my_venue", "-p", "no:cacheprovider", "-rfp", "-k", "sound or fatal")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, *words],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = run.stdout.splitlines()
    passed = [line for line in lines if line.startswith("PASSED") and "[sound" in line]
    failed = [line for line in lines if line.startswith("FAILED")]
    assert passed
    assert any("not_liquidatable_at_once[fatal" in line for line in failed)
    assert all("[fatal" in line for line in failed)
