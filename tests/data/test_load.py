"""Market folders on disk: names, suffixes, choices, bad rows and the real ones."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bt_margin.core.errors import DataError, ParameterError, UnknownNameError
from bt_margin.data import load_market

TRADE = """\
datetime,open,high,low,close,volume
2024-01-31T00:00:00Z,100,103,99,101,5
2024-01-31T01:00:00Z,101,104,100,102,0
2024-01-31T02:00:00Z,102,105,101,103,7.5
"""
MARK = """\
datetime,open,high,low,close
2024-01-31T00:00:00Z,100,103,99,101
2024-01-31T01:00:00Z,101,104,100,102
"""
FUNDING = """\
datetime,funding_rate,mark_price
2024-01-31T00:00:00Z,0.0001,100.5
2024-01-31T01:00:00Z,-0.0002,
"""
SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "BTCUSDT_1h_trade.csv").write_text(TRADE)
    (tmp_path / "BTCUSDT_1h_mark.csv").write_text(MARK)
    (tmp_path / "BTCUSDT_funding.csv").write_text(FUNDING)
    return tmp_path


def add(folder: Path, *names: str) -> None:
    for name in names:
        text = FUNDING if "funding" in name else MARK if "mark" in name else TRADE
        (folder / name).write_text(text)


def test_a_folder_becomes_a_market(folder: Path) -> None:
    market = load_market(folder)
    assert market.name == folder.name
    assert market.symbols == ("BTCUSDT",)
    data = market["BTCUSDT"]
    times = pd.date_range(
        "2024-01-31", periods=3, freq="h", tz="UTC", name="datetime", unit="us"
    )
    expected = pd.DataFrame(
        {
            "open": [100.0, 101.0, 102.0],
            "high": [103.0, 104.0, 105.0],
            "low": [99.0, 100.0, 101.0],
            "close": [101.0, 102.0, 103.0],
            "volume": [5.0, 0.0, 7.5],
        },
        index=times,
    )
    pd.testing.assert_frame_equal(data.trade, expected, check_freq=False)
    assert data.mark is not None
    assert data.mark["low"].tolist() == [99.0, 100.0]
    assert data.funding is not None
    assert data.funding["funding_rate"].tolist() == [0.0001, -0.0002]
    assert data.funding["mark_price"].isna().tolist() == [False, True]


def test_the_folder_may_be_a_string(folder: Path) -> None:
    assert load_market(str(folder)).symbols == ("BTCUSDT",)


def test_mark_and_funding_may_be_missing(tmp_path: Path) -> None:
    add(tmp_path, "BTCUSDT_1h_trade.csv")
    data = load_market(tmp_path)["BTCUSDT"]
    assert data.mark is None
    assert data.funding is None


def test_a_symbol_may_hold_underscores(folder: Path) -> None:
    add(folder, "BTCUSDT_2025_04_5m_trade.csv", "BTCUSDT_2025_04_funding.csv")
    market = load_market(folder)
    assert market.symbols == ("BTCUSDT", "BTCUSDT_2025_04")
    assert market["BTCUSDT_2025_04"].mark is None
    assert market["BTCUSDT_2025_04"].funding is not None


def test_other_files_are_ignored(folder: Path) -> None:
    add(folder, "README.md", "ETHUSDT_1h_mark.csv", "DOGEUSDT_funding.csv")
    add(folder, "BTCUSDT_1s_mark_funding_ticks.csv", "XRPUSDT_1y_trade.csv")
    (folder / "SOLUSDT_1h_trade.csv").mkdir()
    assert load_market(folder).symbols == ("BTCUSDT",)


def _gzip(frame: pd.DataFrame, path: Path) -> None:
    path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))


def _with_blank_lines(frame: pd.DataFrame, path: Path) -> None:
    path.write_text(frame.to_csv(index=False) + "\n\n")


def _epoch(frame: pd.DataFrame) -> pd.DataFrame:
    times = pd.to_datetime(frame["datetime"], utc=True)
    return frame.assign(datetime=times.dt.as_unit("ms").astype("int64"))


def _indexed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_index(pd.to_datetime(frame.pop("datetime"), utc=True))


WRITERS: dict[str, tuple[str, Callable[[pd.DataFrame, Path], None]]] = {
    "csv with epoch ms": (".csv", lambda f, p: _epoch(f).to_csv(p, index=False)),
    "csv with blank lines at the end": (
        ".csv",
        _with_blank_lines,
    ),
    "csv of another system": (
        ".csv",
        lambda f, p: f.to_csv(
            p, index=False, encoding="utf-8-sig", lineterminator="\r\n"
        ),
    ),
    "gzipped csv": (".csv.gz", _gzip),
    "parquet with strings": (".parquet", lambda f, p: f.to_parquet(p)),
    "parquet with a time index": (".parquet", lambda f, p: _indexed(f).to_parquet(p)),
    "parquet with epoch ms": (".parquet", lambda f, p: _epoch(f).to_parquet(p)),
    "feather with strings": (".feather", lambda f, p: f.to_feather(p)),
    "feather with times": (
        ".feather",
        lambda f, p: _indexed(f).reset_index().to_feather(p),
    ),
}


@pytest.mark.parametrize(("suffix", "write"), WRITERS.values(), ids=WRITERS.keys())
def test_every_kind_of_file_gives_the_same_market(
    folder: Path, suffix: str, write: Callable[[pd.DataFrame, Path], None]
) -> None:
    expected = load_market(folder)["BTCUSDT"]
    other = folder / "other"
    other.mkdir()
    for path in folder.glob("*.csv"):
        write(pd.read_csv(path), other / f"{path.stem}{suffix}")
    data = load_market(other)["BTCUSDT"]
    pd.testing.assert_frame_equal(data.trade, expected.trade)
    assert data.mark is not None
    assert expected.mark is not None
    pd.testing.assert_frame_equal(data.mark, expected.mark)
    assert data.funding is not None
    assert expected.funding is not None
    pd.testing.assert_frame_equal(data.funding, expected.funding)


def test_only_the_symbols_asked_for_are_read(folder: Path) -> None:
    add(folder, "ETHUSDT_1h_trade.csv")
    (folder / "BADUSDT_1h_trade.csv").write_text("not a market")
    asked = load_market(folder, symbols=["ETHUSDT", "BTCUSDT"])
    assert asked.symbols == ("ETHUSDT", "BTCUSDT")
    assert load_market(folder, symbols="ETHUSDT").symbols == ("ETHUSDT",)


def test_an_unknown_symbol_is_told_with_what_the_folder_has(folder: Path) -> None:
    add(folder, "ETHUSDT_1h_trade.csv", "DOGEUSDT_funding.csv")
    with pytest.raises(UnknownNameError) as caught:
        load_market(folder, symbols=["DOGEUSDT"])
    assert str(caught.value) == (
        "unknown symbol 'DOGEUSDT': choose one of BTCUSDT, ETHUSDT"
    )


def test_several_trade_intervals_ask_for_a_choice(folder: Path) -> None:
    add(folder, "BTCUSDT_5m_trade.csv", "BTCUSDT_1d_trade.csv")
    with pytest.raises(ParameterError) as caught:
        load_market(folder)
    assert str(caught.value) == (
        'interval is None: give interval="5m"; BTCUSDT has 5m, 1h, 1d'
    )


def test_interval_chooses_the_trade_candles(folder: Path) -> None:
    lines = TRADE.replace("01:00:00", "00:05:00").replace("02:00:00", "00:10:00")
    (folder / "BTCUSDT_5m_trade.csv").write_text(lines)
    for interval, minutes in (("5m", 5), ("1h", 60)):
        data = load_market(folder, interval=interval)["BTCUSDT"]
        assert data.interval == pd.Timedelta(minutes=minutes)


def test_interval_leaves_out_symbols_that_lack_it(folder: Path) -> None:
    add(folder, "ETHUSDT_5m_trade.csv")
    assert load_market(folder, interval="5m").symbols == ("ETHUSDT",)


@pytest.mark.parametrize("symbols", [None, "BTCUSDT"], ids=["all", "one asked for"])
def test_an_interval_that_is_not_there_is_refused(
    folder: Path, symbols: str | None
) -> None:
    with pytest.raises(ParameterError) as caught:
        load_market(folder, symbols=symbols, interval="5m")
    assert str(caught.value) == (
        "interval is '5m': give interval=\"1h\"; BTCUSDT has 1h"
    )


MARK_CHOICES = {
    "the same interval is best": ("1h", ["1m", "1h", "8h"], "1h"),
    "finer ones before coarser ones": ("5m", ["1m", "8h", "1h"], "1m"),
    "the finest when all are finer": ("1h", ["5m", "1m"], "1m"),
    "the finest when all are coarser": ("5m", ["8h", "1h"], "1h"),
    "seconds, minutes, days and weeks are compared": (
        "1d",
        ["90m", "30s", "1w"],
        "30s",
    ),
}


@pytest.mark.parametrize(
    ("trade", "marks", "chosen"), MARK_CHOICES.values(), ids=MARK_CHOICES.keys()
)
def test_the_mark_candles_nearest_to_the_trade_candles_are_chosen(
    tmp_path: Path, trade: str, marks: list[str], chosen: str
) -> None:
    add(tmp_path, f"BTCUSDT_{trade}_trade.csv")
    for mark in marks:
        high = "888" if mark == chosen else "777"
        text = MARK.replace("103", high)
        (tmp_path / f"BTCUSDT_{mark}_mark.csv").write_text(text)
    data = load_market(tmp_path)["BTCUSDT"]
    assert data.mark is not None
    assert data.mark["high"].iloc[0] == 888.0


def test_the_same_data_in_two_files_is_refused(folder: Path) -> None:
    pd.read_csv(folder / "BTCUSDT_1h_mark.csv").to_feather(
        folder / "BTCUSDT_1h_mark.feather"
    )
    with pytest.raises(DataError) as caught:
        load_market(folder)
    assert "BTCUSDT_1h_mark.csv and BTCUSDT_1h_mark.feather" in str(caught.value)
    assert "keep one of the two files" in str(caught.value)


def test_start_and_end_cut_the_market(folder: Path) -> None:
    data = load_market(folder, start="2024-01-31T01:00", end="2024-01-31T02:00")
    assert data["BTCUSDT"].trade["open"].tolist() == [101.0]


def test_funding_of_a_single_candle_is_inside_it(folder: Path) -> None:
    single = "".join(TRADE.splitlines(keepends=True)[:2])
    (folder / "BTCUSDT_1h_trade.csv").write_text(single)
    stamps = "datetime,funding_rate\n2024-01-31T00:59:00Z,0.0001\n"
    (folder / "BTCUSDT_funding.csv").write_text(stamps)
    assert load_market(folder)["BTCUSDT"].funding is not None


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_market(tmp_path / "nowhere")
    assert "nowhere: there is no such folder" in str(caught.value)
    assert "give a folder with files such as BTCUSDT_1h_trade.csv" in str(caught.value)


def test_a_folder_without_trade_candles_is_told(tmp_path: Path) -> None:
    add(tmp_path, "BTCUSDT_1h_mark.csv", "notes.txt")
    with pytest.raises(DataError) as caught:
        load_market(tmp_path)
    assert f"{tmp_path.name}: there is no file of trade candles" in str(caught.value)
    assert "name the files of trade candles like" in str(caught.value)


T, M, F = "BTCUSDT_1h_trade.csv", "BTCUSDT_1h_mark.csv", "BTCUSDT_funding.csv"
# file, the text to replace in it, the replacement, row, value seen, fix
BAD_FILES: dict[str, tuple[str, str, str, int | None, str, str]] = {
    "a price is a word": (
        T, "101,104", "abc,104", 3, "open is 'abc'", "write a plain number"
    ),
    "a price cell is empty": (
        T, "105,101", ",101", 4, "high is missing (NaN)", "write a price above zero"
    ),
    "a price is zero": (T, "103,99", "103,0", 2, "low is 0.0", "a price above zero"),
    "high is below low": (
        T, "104,100", "99,100", 3, "high is 99.0 and low is 100.0", "correct the row"
    ),
    "volume is negative": (T, "7.5", "-7.5", 4, "volume is -7.5", "write the volume"),
    "a time is a word": (
        T,
        "2024-01-31T01:00:00Z",
        "soon",
        3,
        "datetime is 'soon'",
        "write UTC times such as",
    ),
    "a time is there twice": (
        T,
        "02:00:00Z",
        "01:00:00Z",
        4,
        "datetime 2024-01-31 01:00:00+00:00 is there twice",
        "delete one of the two rows",
    ),
    "a blank line is inside the file": (
        T, "\n2024-01-31T01", "\n\n2024-01-31T01", 3, "datetime is empty", "write UTC"
    ),
    "a row has too many cells": (
        T, "103,7.5", "103,7.5,9", 4, "saw 7", "correct the file"
    ),
    "a row has too few cells": (
        T, ",103,7.5", "", 4, "close is missing (NaN)", "write a price above zero"
    ),
    "the header is missing": (
        T,
        "datetime,open,high,low,close,volume\n",
        "",
        None,
        "no column 'datetime' among 2024-01-31t00:00:00z, 100",
        "name the columns datetime, open, high, low, close, volume",
    ),
    "the header is too short": (
        T,
        "datetime,",
        "",
        None,
        "rows have more cells than the header",
        "correct the file",
    ),
    "the file is empty": (M, MARK, "", None, "cannot be read", "correct the file"),
    "there is only a header": (
        M,
        MARK,
        "datetime,open,high,low,close\n",
        None,
        "there are no rows",
        "give at least one row",
    ),
    "a mark candle closes outside": (
        M,
        "100,102",
        "100,99.5",
        3,
        "close is 99.5 and low is 100.0 and high is 104.0",
        "close must lie from low to high",
    ),
    "a rate is a percentage": (
        F, "-0.0002", "-2", 3, "funding_rate is -2.0", "a fraction, not percent"
    ),
    "a mark price of funding is negative": (
        F, "100.5", "-1", 2, "mark_price is -1.0", "leave it empty"
    ),
    "funding is of another year": (
        F,
        "2024-",
        "2021-",
        None,
        "2021-01-31 01:00:00+00:00 is outside the data",
        "give the funding of that span",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new", "row", "seen", "fix"),
    BAD_FILES.values(),
    ids=BAD_FILES.keys(),
)
def test_a_bad_file_is_told_with_its_row(
    folder: Path, name: str, old: str, new: str, row: int | None, seen: str, fix: str
) -> None:
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError) as caught:
        load_market(folder)
    place = f"{path}: " if row is None else f"{path}, row {row}: "
    assert str(caught.value).startswith(place)
    assert seen in str(caught.value)
    assert fix in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet", ".feather"])
def test_a_file_that_is_not_what_its_suffix_says_is_told(
    folder: Path, suffix: str
) -> None:
    (folder / "BTCUSDT_1h_trade.csv").rename(folder / f"BTCUSDT_1h_trade{suffix}")
    with pytest.raises(DataError) as caught:
        load_market(folder)
    assert f"BTCUSDT_1h_trade{suffix}: the file cannot be read" in str(caught.value)


def test_a_cut_off_gzip_file_is_told(folder: Path) -> None:
    whole = gzip.compress((folder / T).read_bytes())
    (folder / T).unlink()
    (folder / f"{T}.gz").write_bytes(whole[:-12])
    with pytest.raises(DataError, match="the file cannot be read"):
        load_market(folder)


def test_rows_of_parquet_are_positions(folder: Path) -> None:
    frame = pd.read_csv(folder / T)
    frame.loc[2, "low"] = -1
    (folder / T).unlink()
    frame.to_parquet(folder / "BTCUSDT_1h_trade.parquet")
    with pytest.raises(DataError, match=r"trade\.parquet, row 2: low is -1\.0"):
        load_market(folder)


# folder: symbol, trade rows, mark rows, funding rows (from the folder's README)
REAL: dict[str, tuple[str, int, int | None, int | None]] = {
    "binance_usdm_1h_2019_2026": ("BTCUSDT", 58623, 56084, 7323),
    "binance_usdm_1m_layer_2025_05": ("LAYERUSDT", 22103, 48, 342),
    "binance_usdm_1m_river_xag_2026": ("RIVERUSDT", 47520, 792, 458),
    "binance_usdm_1s_mark_2023_04_05": ("BTCUSDT", 509, None, None),
    "binance_usdm_5m_2025_2026": ("PIPPINUSDT", 22176, 1848, 594),
    "fixtures_lean_2022_12_13": ("binance_BTCUSD", 1439, None, 12),
}


@pytest.mark.parametrize(
    ("name", "symbol", "trade", "mark", "funding"),
    [(name, *facts) for name, facts in REAL.items()],
    ids=REAL.keys(),
)
def test_recorded_markets_load_as_they_are(
    name: str, symbol: str, trade: int, mark: int | None, funding: int | None
) -> None:
    if not (SHARED / name).is_dir():
        pytest.skip(f"the recorded market {name} is not beside this repository")
    data = load_market(SHARED / name, symbols=symbol)[symbol]
    assert len(data.trade) == trade
    assert (data.mark is None, data.funding is None) == (mark is None, funding is None)
    assert data.mark is None or len(data.mark) == mark
    assert data.funding is None or len(data.funding) == funding
