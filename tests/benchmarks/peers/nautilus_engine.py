"""The peers' strategy under nautilus_trader: market orders fill at the bar's close."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.indicators import (
    MovingAverageType,
    RelativeStrengthIndex,
    SimpleMovingAverage,
)
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.trading.strategy import Strategy

from .serving import CASH, FAST, FEE, HIGH, LEVERAGE, LOW, SIZE, SLOW, STRENGTH, serve

VENUE = Venue("BENCH")
DIGITS = 8  # of prices


def instrument() -> Any:
    """A linear perpetual with the benchmark's fee and leverage."""
    return CryptoPerpetual(
        instrument_id=InstrumentId(Symbol("BTCUSDT-PERP"), VENUE),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=DIGITS,
        size_precision=3,
        price_increment=Price(10**-DIGITS, DIGITS),
        size_increment=Quantity(0.001, 3),
        margin_init=Decimal(1) / LEVERAGE,
        margin_maint=Decimal("0.005"),
        maker_fee=Decimal(str(FEE)),
        taker_fee=Decimal(str(FEE)),
        ts_event=0,
        ts_init=0,
    )


class Crossing(Strategy):
    """Always long or short."""

    def __init__(self, perpetual: Any, kind: Any) -> None:
        super().__init__()
        self.perpetual, self.kind = perpetual, kind
        self.fast, self.slow = (SimpleMovingAverage(n) for n in (FAST, SLOW))
        self.strength = RelativeStrengthIndex(STRENGTH, MovingAverageType.WILDER)
        self.above: bool | None = None

    def on_start(self) -> None:
        for indicator in (self.fast, self.slow, self.strength):
            self.register_indicator_for_bars(self.kind, indicator)
        self.subscribe_bars(self.kind)

    def on_bar(self, _bar: Any) -> None:
        if not self.slow.initialized:
            return
        above = self.fast.value > self.slow.value
        was, self.above = self.above, above
        if was is None or was == above:
            return
        strength = 100 * self.strength.value
        if above and strength < HIGH:
            self._turn(OrderSide.BUY)
        elif not above and strength > LOW:
            self._turn(OrderSide.SELL)

    def _turn(self, side: Any) -> None:
        """Close what is open and open a position on a side."""
        self.close_all_positions(self.perpetual.id)
        size = self.perpetual.make_qty(SIZE)
        self.submit_order(self.order_factory.market(self.perpetual.id, side, size))


def once(file: Path) -> tuple[int, float]:
    """A run; trades and value."""
    perpetual = instrument()
    kind = BarType.from_str(f"{perpetual.id}-1-MINUTE-LAST-EXTERNAL")
    candles = pd.read_parquet(file).tz_localize("UTC").rename_axis("timestamp")
    bars = BarDataWrangler(kind, perpetual).process(candles)
    logging = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(BacktestEngineConfig(logging=logging, run_analysis=False))
    account = {"oms_type": OmsType.NETTING, "account_type": AccountType.MARGIN}
    worth = {"base_currency": USDT, "starting_balances": [Money(CASH, USDT)]}
    leverage = {"default_leverage": Decimal(LEVERAGE)}
    engine.add_venue(VENUE, **account, **worth, **leverage)
    engine.add_instrument(perpetual)
    engine.add_data(bars)
    engine.add_strategy(Crossing(perpetual, kind))
    engine.run()
    found = _result(engine)
    engine.dispose()
    return found


def _result(engine: Any) -> tuple[int, float]:
    """Positions opened, and balance with what is not realized yet."""
    cache, portfolio = engine.cache, engine.portfolio
    trades = cache.positions_total_count() + len(cache.position_snapshots())
    value = portfolio.account(VENUE).balance_total(USDT).as_double()
    open_gain = portfolio.unrealized_pnls(VENUE).get(USDT)
    return trades, value + (open_gain.as_double() if open_gain else 0.0)


if __name__ == "__main__":
    serve(once)
