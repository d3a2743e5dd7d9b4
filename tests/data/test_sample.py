import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from bt_margin.core.errors import DataError
from bt_margin.data import sample

FOLDER = Path(__file__).parents[2] / "data"
NAMES = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
CRASH = slice("2025-03-04 14:00", "2025-03-04 15:00")
SQUEEZE = slice("2025-03-05 09:00", "2025-03-06 01:00")


@pytest.fixture(scope="module")
def program() -> ModuleType:
    path = FOLDER / "make_sample.py"
    spec = importlib.util.spec_from_file_location("make_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files() -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_parquet(path) for path in FOLDER.glob("*.parquet")}


def by_time(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index("datetime")


def test_the_program_makes_the_files_again(
    program: ModuleType, files: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    program.write(program.make_frames(), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(files)
    for name, frame in files.items():
        made = pd.read_parquet(tmp_path / f"{name}.parquet")
        # Another processor's exp() may round to the neighbouring tick.
        pd.testing.assert_frame_equal(made, frame, rtol=2e-4, atol=1e-8)


def test_a_seed_makes_one_market(program: ModuleType) -> None:
    first, second = program.make_frames(5), program.make_frames(5)
    for name, frame in first.items():
        pd.testing.assert_frame_equal(frame, second[name], check_exact=True)
    name = "BTCUSDT_1m_trade"
    assert not first[name].equals(program.make_frames(6)[name])


def test_the_readme_prints_what_the_program_describes(
    program: ModuleType, files: dict[str, pd.DataFrame]
) -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert program.describe(files) in readme


def test_the_program_runs(tmp_path: Path) -> None:
    script = str(FOLDER / "make_sample.py")
    out = str(tmp_path / "new")
    subprocess.run([sys.executable, script, "--out", out, "--seed", "1"], check=True)
    assert len(list((tmp_path / "new").glob("*.parquet"))) == 15
    done = subprocess.run(
        [sys.executable, script, "--help"], check=True, capture_output=True, text=True
    )
    assert "example:" in done.stdout


def test_the_files_are_few_and_small(files: dict[str, pd.DataFrame]) -> None:
    assert len(files) == 3 * len(NAMES)
    size = sum(path.stat().st_size for path in FOLDER.glob("*.parquet"))
    assert size < 3_000_000


@pytest.mark.parametrize("kind", ["trade", "mark"])
@pytest.mark.parametrize("name", NAMES)
def test_candles_are_consistent(
    files: dict[str, pd.DataFrame], name: str, kind: str
) -> None:
    candles = files[f"{name}_1m_{kind}"]
    columns = ["datetime", "open", "high", "low", "close"]
    assert list(candles) == columns + ["volume"] * (kind == "trade")
    minutes = pd.date_range("2025-03-03", periods=5_760, freq="min", tz="UTC")
    assert (candles["datetime"] == minutes).all()
    ends = candles[["open", "close"]]
    assert (candles["low"] > 0).all()
    assert (candles["low"] <= ends.min(axis=1)).all()
    assert (candles["high"] >= ends.max(axis=1)).all()
    assert (candles.get("volume", candles["close"]) > 0).all()
    jump = (candles["open"] / candles["close"].shift() - 1).abs()
    assert jump.max() < 0.006


@pytest.mark.parametrize("name", NAMES)
def test_mark_is_smoother_than_last(files: dict[str, pd.DataFrame], name: str) -> None:
    trade, mark = files[f"{name}_1m_trade"], files[f"{name}_1m_mark"]
    variance = [side["close"].pct_change().var() for side in (trade, mark)]
    assert variance[1] < 0.95 * variance[0]
    apart = (trade["close"] / mark["close"] - 1).abs()
    assert apart.median() < 0.001
    assert apart.max() < 0.02


def test_wicks_are_in_the_last_price_alone(
    program: ModuleType, files: dict[str, pd.DataFrame]
) -> None:
    for minute, name, _ in program.WICKS:
        trade = files[f"{name}_1m_trade"].iloc[minute]
        mark = files[f"{name}_1m_mark"].iloc[minute]
        reach = max(mark["low"] / trade["low"], trade["high"] / mark["high"]) - 1
        assert 0.03 < reach < 0.09
        assert abs(trade["close"] / trade["open"] - 1) < 0.02
        assert mark["high"] / mark["low"] - 1 < 0.015


def test_volume_follows_volatility(files: dict[str, pd.DataFrame]) -> None:
    for name in NAMES:
        trade = files[f"{name}_1m_trade"]
        spread = trade["high"] / trade["low"] - 1
        assert trade["volume"].rank().corr(spread.rank()) > 0.5


def test_returns_move_together(files: dict[str, pd.DataFrame]) -> None:
    closes = {name: files[f"{name}_1m_trade"]["close"] for name in NAMES}
    with_btc = pd.DataFrame(closes).pct_change().corr()["BTCUSDT"]
    assert with_btc["ETHUSDT"] > 0.6
    assert with_btc.min() > 0.3


def test_the_first_day_is_quiet(files: dict[str, pd.DataFrame]) -> None:
    trade = files["BTCUSDT_1m_trade"]
    days = trade["datetime"].dt.floor("D")
    spread = trade["close"].pct_change().groupby(days).std()
    assert spread.iloc[0] < 0.6 * spread.iloc[1:].min()


def test_the_market_crashes_on_the_second_day(files: dict[str, pd.DataFrame]) -> None:
    falls = {}
    for name in NAMES:
        mark = by_time(files[f"{name}_1m_mark"]).loc[CRASH]
        falls[name] = 1 - mark["low"].min() / mark["high"].max()
    assert 0.08 < falls.pop("BTCUSDT") < 0.11
    assert all(0.12 < fall < 0.25 for fall in falls.values())


def test_the_squeeze_rises_and_gives_back_half(files: dict[str, pd.DataFrame]) -> None:
    close = by_time(files["DOGEUSDT_1m_trade"])["close"]
    start = close.asof(pd.Timestamp("2025-03-05 09:00", tz="UTC"))
    top = close.loc[SQUEEZE].max()
    assert 0.4 < top / start - 1 < 0.6
    given_back = (top - close.iloc[-1]) / (top - start)
    assert 0.4 < given_back < 0.6
    pullback = close.loc[SQUEEZE] / close.loc[SQUEEZE].rolling(60).max() - 1
    assert pullback.min() < -0.08


def test_funding_is_every_8_hours_for_the_calm(files: dict[str, pd.DataFrame]) -> None:
    for name in NAMES[:-1]:
        funding = files[f"{name}_funding"]
        assert list(funding) == ["datetime", "funding_rate", "mark_price"]
        stamps = pd.date_range("2025-03-03", periods=12, freq="8h", tz="UTC")
        assert (funding["datetime"] == stamps).all()
        assert funding["funding_rate"].abs().max() < 0.001


def test_funding_of_the_squeezed_goes_to_4_and_1_hours(
    files: dict[str, pd.DataFrame],
) -> None:
    funding = files["DOGEUSDT_funding"]
    hours = funding["datetime"].diff().dropna().dt.total_seconds() / 3600
    assert list(hours) == [8] * 7 + [4] * 3 + [1] * 27
    assert funding["funding_rate"].min() == -0.02
    assert funding["funding_rate"].abs().max() <= 0.02


@pytest.mark.parametrize("name", NAMES)
def test_funding_carries_the_mark(files: dict[str, pd.DataFrame], name: str) -> None:
    mark = by_time(files[f"{name}_1m_mark"])["open"]
    funding = by_time(files[f"{name}_funding"])["mark_price"]
    assert (funding == mark.loc[funding.index]).all()


def test_the_bundled_folder_is_the_source_trees() -> None:
    assert sample.bundled_folder() == FOLDER


def test_an_installed_package_has_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "PACKAGE", tmp_path / "bt_margin")
    with pytest.raises(DataError, match="make_sample"):
        sample.bundled_folder()
    bundled = tmp_path / "bt_margin" / "bundled" / "data"
    bundled.mkdir(parents=True)
    (bundled / sample.PROBE).touch()
    assert sample.bundled_folder() == bundled


def test_sample_market_loads() -> None:
    assert sample.sample_market() is not None
