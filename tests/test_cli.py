"""The command line, as a user meets it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

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
    ],
)
def test_a_price_that_cannot_be_is_one_line(words: list[str], message: str) -> None:
    assert_one_line(run("price", "--entry", "100", *words), message)


def test_venues_lists_them_and_a_page_says_what_is_not_verified() -> None:
    names = run("venues").stdout.split()
    assert names == sorted(names)
    assert {"binanceusdm", "generic", "hyperliquid"} <= set(names)
    page = run("venues", "binanceusdm").stdout
    for word in ("notional at mark", "1.2500%", "not verified", "2024-10-24"):
        assert word in page
    textbook = run("venues", "generic").stdout
    for word in ("notional at entry", "0.5000%", "bankruptcy", "0.0500%", "125"):
        assert word in textbook
    assert_one_line(run("venues", "mtgox"), "unknown venue 'mtgox'")


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
