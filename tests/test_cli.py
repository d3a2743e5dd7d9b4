"""The command line, as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bt_margin import load_tiers, venue_names
from bt_margin.cli import main

TRADE = "datetime,open,high,low,close,volume\n" + "".join(
    f"2024-01-01T{hour:02}:00:00Z,100,101,99,100,5\n" for hour in range(24)
)
HOLD = """
import backtrader as bt


class Hold(bt.Strategy):
    params = (("size", 1.0),)

    def nextstart(self):
        self.buy(size=self.p.size)
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "X_1h_trade.csv").write_text(TRADE, encoding="utf-8")
    (tmp_path / "hold.py").write_text(HOLD, encoding="utf-8")
    return tmp_path


def test_without_arguments_the_bundled_scalper_runs_on_the_bundled_sample() -> None:
    result = run("compare", "--to", "2025-03-04")
    assert result.exit_code == 0, result.stderr
    for word in ("Scalper", "BTCUSDT", "DOGEUSDT", "off", "isolated", "cross"):
        assert word in result.stdout


def test_a_folder_a_symbol_and_a_span(folder: Path) -> None:
    out = folder / "out.json"
    result = run(
        *("compare", folder / "hold.py", "--data", folder, "--symbol", "X"),
        *(
            "--from",
            "2024-01-01 06:00",
            "--to",
            "2024-01-01 18:00",
            "--leverage",
            "2,5",
        ),
        *("--param", "size=3", "--cash", "500", "--json", out),
    )
    assert result.exit_code == 0, result.stderr
    assert "2024-01-01 06:00 to 2024-01-01 17:00 UTC" in result.stdout
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["strategy_params"] == {"size": 3}
    assert [run["leverage"] for run in document["runs"]] == [2, 2, 2, 5, 5, 5]
    assert document["runs"][1]["executions"][0]["size"] == 3


def test_bounds_show_the_spread_and_the_ambiguous_bars(folder: Path) -> None:
    result = run(
        *("compare", folder / "hold.py", "--data", folder, "--leverage", "10"),
        *("--bounds", "--fill-order", "path"),
    )
    assert result.exit_code == 0, result.stderr
    assert "Spread over four other paths" in result.stdout
    assert "no bar could have gone two ways" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--venue", "hyperliquid, generic"], id="separated by commas"),
        pytest.param(
            ["--venue", "hyperliquid", "--venue", "generic"], id="each with its option"
        ),
    ],
)
def test_venues_stand_side_by_side(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "hold.py").write_text(HOLD, encoding="utf-8")
    (tmp_path / "BTCUSDT_1h_trade.csv").write_text(TRADE, encoding="utf-8")
    out = tmp_path / "out.json"
    result = run(
        *("compare", tmp_path / "hold.py", "--data", tmp_path, "--leverage", "10"),
        *words,
        *("--json", out),
    )
    assert result.exit_code == 0, result.stderr
    rows = [line.split()[:3] for line in result.stdout.splitlines()]
    expected = [
        [venue, "10x", mode]
        for venue in ("hyperliquid", "generic")
        for mode in ("off", "isolated", "cross")
    ]
    assert [row for row in rows if row in expected] == expected
    assert "venues hyperliquid, generic, cash" in result.stdout
    assert "only the taker fee differs between venues" in result.stdout
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["venues"] == ["hyperliquid", "generic"]
    assert [row["venue"] for row in document["runs"]] == [row[0] for row in expected]


def test_help_has_an_example() -> None:
    result = run("compare", "--help")
    assert result.exit_code == 0
    assert "Example:" in result.stdout
    assert "bt-margin compare strategies/scalper.py" in result.stdout
    assert "--venue binanceusdm,hyperliquid,generic" in result.stdout


def test_the_bare_command_shows_what_there_is() -> None:
    result = run()
    assert result.exit_code == 0
    assert "compare" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--symbol", "Y"], "unknown symbol 'Y'", id="unknown symbol"),
        pytest.param(["--leverage", "0"], "leverage is 0", id="leverage 0"),
        pytest.param(["--leverage", "-2"], "leverage is -2", id="negative leverage"),
        pytest.param(["--leverage", "nan"], "leverage is nan", id="leverage NaN"),
        pytest.param(["--leverage", "500"], "at most 125", id="above the tier's bound"),
        pytest.param(["--leverage", "ten"], "write 3,5,10", id="leverage in words"),
        pytest.param(["--cash", "0"], "cash is 0", id="no cash"),
        pytest.param(["--venue", "x"], "unknown venue 'x'", id="unknown venue"),
        pytest.param(["--venue", " , "], "names of", id="no venue"),
        pytest.param(["--venue", "generic,x"], "unknown venue 'x'", id="one unknown"),
        pytest.param(
            ["--venue", "generic,generic"], "each one once", id="a repeated venue"
        ),
        pytest.param(
            ["--venue", "generic,hyperliquid", "--leverage", "10"],
            "venue is 'hyperliquid': it has no tier table for X",
            id="a venue without tiers for the symbol",
        ),
        pytest.param(["--modes", "both"], "off, isolated, cross", id="unknown mode"),
        pytest.param(["--bar-path", "up"], "adaptive", id="unknown bar path"),
        pytest.param(["--from", "2031-01-01"], "2031-01-01", id="a span without bars"),
        pytest.param(["--from", "noon"], "noon", id="a time that is none"),
        pytest.param(["--param", "size"], "write name=value", id="half a parameter"),
        pytest.param(["--param", "sise=2"], "Hold has size", id="unknown parameter"),
        pytest.param(["--json", "/no/such/x.json"], "make the folder", id="bad output"),
        pytest.param(["--json", "/"], "it is a folder", id="a folder as output"),
        pytest.param(["--lever", "3"], "--lever", id="unknown option"),
        pytest.param(["--jobs", "0"], "jobs is 0", id="no process"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    folder: Path, words: list[str], message: str
) -> None:
    result = run("compare", folder / "hold.py", "--data", folder, *words)
    assert_one_line(result, message)


def assert_one_line(result: Result, message: str) -> None:
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("bt-margin: ")
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param(
            "2024-01-02T00:00:00Z,100,99,101,100,1", "high", id="high below low"
        ),
        pytest.param("2024-01-02T00:00:00Z,nan,101,99,100,1", "open", id="NaN price"),
        pytest.param("2024-01-02T00:00:00Z,100,101,0,100,1", "low", id="price 0"),
        pytest.param("2024-01-01T23:00:00Z,100,101,99,100,1", "twice", id="duplicate"),
        pytest.param(
            "2024-01-01T05:00:00Z,100,101,99,100,1", "sort rows", id="unsorted"
        ),
    ],
)
def test_a_bad_row_names_the_file_and_the_row(
    folder: Path, row: str, message: str
) -> None:
    path = folder / "X_1h_trade.csv"
    path.write_text(TRADE + row + "\n", encoding="utf-8")
    result = run("compare", folder / "hold.py", "--data", folder)
    assert_one_line(result, "X_1h_trade.csv, row 26")
    assert message in result.stderr


def test_funding_outside_the_candles_is_refused(folder: Path) -> None:
    text = "datetime,funding_rate\n2023-01-01T00:00:00Z,0.0001\n"
    (folder / "X_funding.csv").write_text(text, encoding="utf-8")
    result = run("compare", folder / "hold.py", "--data", folder)
    assert_one_line(result, "X_funding.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("x = 1\n", "no strategy", id="no strategy"),
        pytest.param("raise SystemExit(3)\n", "SystemExit", id="a file that exits"),
        pytest.param(HOLD + HOLD.replace("Hold", "Keep"), "several", id="several"),
        pytest.param(
            "import nonsense_module\n", "ModuleNotFoundError", id="bad import"
        ),
        pytest.param(
            HOLD.replace("size=self.p.size", "sise=1, size=1 / 0"),
            "ZeroDivision",
            id="bug",
        ),
    ],
)
def test_a_bad_strategy_file_is_named(folder: Path, text: str, message: str) -> None:
    (folder / "hold.py").write_text(text, encoding="utf-8")
    result = run("compare", folder / "hold.py", "--data", folder)
    assert_one_line(result, message)
    assert "hold.py" in result.stderr


# price and venues


def test_price_says_where_a_position_would_be_liquidated() -> None:
    result = run("price", "--entry", "65000", "--leverage", "10")
    assert result.exit_code == 0, result.stderr
    for word in ("58,825", "-9.50%", "58,500", "325.00"):
        assert word in result.stdout


def test_price_compares_all_venues() -> None:
    result = run("price", "--entry", "2000", "--leverage", "20", "--compare")
    assert result.exit_code == 0, result.stderr
    assert "binanceusdm" in result.stdout
    assert "generic" in result.stdout


def test_a_venue_that_does_not_allow_the_plan_says_so_beside_the_others() -> None:
    result = run("price", "--entry", "2000", "--leverage", "60", "--compare")
    assert result.exit_code == 0, result.stderr
    assert "generic" in result.stdout
    assert (
        "hyperliquid: leverage is 60.0: hyperliquid allows at most 40" in result.stdout
    )


def test_price_takes_a_rate_of_ones_own() -> None:
    # A fifth below 100, and 1 % of it less: 81.
    result = run(
        *("price", "--entry", "100", "--leverage", "5"),
        *("--maintenance-margin-rate", "0.01"),
    )
    assert "81" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--leverage", "0"], "leverage is 0", id="leverage 0"),
        pytest.param(["--leverage", "200"], "at most 125", id="above the bound"),
        pytest.param(["--leverage", "5", "--side", "up"], "long", id="side"),
        pytest.param(["--leverage", "5", "--venue", "x"], "unknown venue", id="venue"),
        pytest.param([], "--leverage", id="nothing given"),
        pytest.param(
            ["--leverage", "5", "--margin-mode", "off"],
            "isolated and cross",
            id="no margin mode",
        ),
        pytest.param(
            ["--leverage", "5", "--wallet", "9"], "added_margin", id="isolated wallet"
        ),
        pytest.param(
            ["--leverage", "5", "--date", "noon"], "--date", id="a date that is none"
        ),
        pytest.param(
            ["--leverage", "5", "--inverse", "--venue", "hyperliquid"],
            "hyperliquid lists linear contracts only",
            id="inverse where there are none",
        ),
        pytest.param(
            ["--leverage", "5", "--size", "1", "--notional", "9"],
            "not both",
            id="size and notional",
        ),
    ],
)
def test_a_price_that_cannot_be_is_one_line(words: list[str], message: str) -> None:
    assert_one_line(run("price", "--entry", "100", *words), message)


def test_price_of_a_cross_position_with_a_wallet_behind_it() -> None:
    # 20,000 - 1 * 65,000 + p = 325, so p = 45,325.
    words = ("--margin-mode", "cross", "--wallet", "20000")
    result = run("price", "--entry", "65000", "--leverage", "10", *words)
    assert result.exit_code == 0, result.stderr
    assert "45,325" in result.stdout
    assert "10x, cross" in result.stdout


def test_price_of_a_coin_settled_position() -> None:
    # 60,000 USD at 50,000 and 10x: worth 1.2 coins, initial margin 0.12 (Bybit
    # "Initial Margin"); 60,000 / (1.2 + 0.12 - 0.006) = 45,662.100.
    words = ("--inverse", "--size", "60000")
    result = run("price", "--entry", "50000", "--leverage", "10", *words)
    assert result.exit_code == 0, result.stderr
    for word in ("1.20000000", "0.12000000", "0.00600000", "45,662.1"):
        assert word in result.stdout


def test_price_with_margin_added() -> None:
    # 6,500 + 500 - 325 may be lost: 65,000 - 6,675.
    words = ("price", "--entry", "65000", "--leverage", "10", "--added-margin", "500")
    assert "58,325" in run(*words).stdout


def test_price_with_contracts_of_another_size() -> None:
    # 100 contracts of 0.01 coins are one coin.
    words = ("--size", "100", "--contract-size", "0.01")
    result = run("price", "--entry", "65000", "--leverage", "10", *words)
    assert "65,000.00" in result.stdout
    assert "58,825" in result.stdout


def test_price_by_the_rules_of_a_day() -> None:
    words = ("price", "--entry", "65000", "--leverage", "10")
    assert run(*words, "--date", "2020-03-12").stdout == run(*words).stdout


def test_a_comparison_has_a_row_or_a_reason_for_every_venue() -> None:
    result = run("price", "--entry", "65000", "--leverage", "10", "--compare")
    for name in venue_names():
        assert any(line.startswith(name) for line in result.stdout.splitlines())


def test_venues_are_a_line_each() -> None:
    lines = run("venues").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(venue_names())
    (generic,) = (line for line in lines if line.startswith("generic"))
    assert generic.split() == ["generic", "both", "both", "-", "125x", "bankruptcy"]


def test_a_page_says_what_is_not_verified() -> None:
    page = run("venues", "binanceusdm").stdout
    for word in ("notional at mark", "1.2500%", "not verified", "tiers as of"):
        assert word in page
    textbook = run("venues", "generic").stdout
    for word in ("notional at entry", "0.5000%", "bankruptcy", "0.0500%", "125x"):
        assert word in textbook
    assert_one_line(run("venues", "mtgox"), "unknown venue 'mtgox'")


def test_the_tiers_of_a_symbol_at_a_venue() -> None:
    # 150,000,000 * (1 / 40 - 1 / 80) = 1,875,000 are deducted beyond the floor.
    result = run("venues", "hyperliquid", "--tiers", "BTCUSDT")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1].split() == [
        *("150,000,000", "any", "2.5000%", "1,875,000", "20x")
    ]
    textbook = run("venues", "generic", "--tiers", "BTC").stdout
    assert "BTC at generic, linear" in textbook
    assert "BTC at generic, inverse" in textbook


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["hyperliquid", "--tiers", "FOO"], "FOO", id="no such symbol"),
        pytest.param(["--tiers", "BTC"], "name the venue", id="no venue"),
        pytest.param(["generic", "--date", "x"], "--date", id="a date that is none"),
    ],
)
def test_venues_that_cannot_be_are_one_line(words: list[str], message: str) -> None:
    assert_one_line(run("venues", *words), message)


# data tiers

CCXT_TIERS: dict[str, list[dict[str, Any]]] = {
    symbol: [
        {
            "minNotional": 0,
            "maxNotional": 50_000,
            "maintenanceMarginRate": 0.004,
            "maxLeverage": leverage,
        },
        {
            "minNotional": 50_000,
            "maxNotional": None,
            "maintenanceMarginRate": 0.005,
            "maxLeverage": 100,
        },
    ]
    for symbol, leverage in (("BTC/USDT:USDT", 125), ("ETH/USDT:USDT", 110))
}
BINANCE_TIERS = [
    {
        "symbol": name,
        "brackets": [
            {
                "notionalFloor": row["minNotional"],
                "notionalCap": row["maxNotional"],
                "maintMarginRatio": row["maintenanceMarginRate"],
                "initialLeverage": row["maxLeverage"],
            }
            for row in rows
        ],
    }
    for name, rows in CCXT_TIERS.items()
]


@pytest.fixture(params=[CCXT_TIERS, BINANCE_TIERS], ids=["ccxt", "Binance"])
def tier_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "tiers.json"
    path.write_text(json.dumps(request.param), encoding="utf-8")
    return path


def test_tiers_of_a_file_are_printed(tier_file: Path) -> None:
    result = run("data", "tiers", tier_file, "--symbol", "BTCUSDT")
    assert result.exit_code == 0, result.stderr
    # 50,000 * (0.005 - 0.004) are deducted beyond the floor.
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["0", "50,000", "0.4000%", "0", "125x"] in rows
    assert rows[-1] == ["50,000", "any", "0.5000%", "50", "100x"]
    assert "110x" not in result.stdout


def test_tiers_that_were_written_are_those_that_were_read(tier_file: Path) -> None:
    out, words = tier_file.parent / "out.json", ("--symbol", "BTCUSDT")
    more = ("--symbol", "ETH/USDT:USDT", "--json", out)
    result = run("data", "tiers", tier_file, *words, *more)
    assert result.exit_code == 0, result.stderr
    assert str(out) in result.stdout
    for symbol in ("BTCUSDT", "ETHUSDT"):
        assert load_tiers(out, symbol) == load_tiers(tier_file, symbol)
    assert len(json.loads(out.read_text(encoding="utf-8"))) == 2


def test_compare_takes_tiers_that_were_written(folder: Path) -> None:
    source, out = folder / "tiers.json", folder / "out.json"
    rows = CCXT_TIERS["BTC/USDT:USDT"]
    source.write_text(json.dumps({"X": rows}), encoding="utf-8")
    assert run("data", "tiers", source, "--symbol", "X", "--json", out).exit_code == 0
    words = ("--data", folder, "--leverage", "10", "--tiers", out)
    assert run("compare", folder / "hold.py", *words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--symbol", "FOOUSDT"], "unknown symbol", id="no such symbol"),
        pytest.param([], "--symbol", id="no symbol"),
        pytest.param(["--symbol", "BTCUSDT", "--json", "/"], "folder", id="a folder"),
    ],
)
def test_tiers_that_cannot_be_are_one_line(
    tier_file: Path, words: list[str], message: str
) -> None:
    assert_one_line(run("data", "tiers", tier_file, *words), message)


def test_a_file_without_tiers_is_one_line(tmp_path: Path) -> None:
    words = ("--symbol", "BTCUSDT")
    gone = tmp_path / "gone.json"
    assert_one_line(run("data", "tiers", gone, *words), "cannot be read")


def test_the_bare_group_shows_what_there_is() -> None:
    result = run("data")
    assert result.exit_code == 0
    assert "tiers" in result.stdout


def test_compare_at_a_venue_with_tiers_from_a_file(folder: Path) -> None:
    rows = '[{"minNotional": 0, "maxNotional": 1e9, "maintenanceMarginRate": 0.01,'
    text = '{"X": ' + rows + ' "maxLeverage": 50}]}'
    (folder / "tiers.json").write_text(text, encoding="utf-8")
    words = ("compare", folder / "hold.py", "--data", folder, "--venue", "binanceusdm")
    assert_one_line(run(*words, "--leverage", "10"), "it has no tier table for X")
    tiers = ("--tiers", folder / "tiers.json", "--leverage", "10")
    assert run(*words, *tiers).exit_code == 0
    several = run(*words, "--venue", "hyperliquid,generic", *tiers)
    assert several.exit_code == 0, several.stderr
    assert "venues binanceusdm, hyperliquid, generic" in several.stdout
