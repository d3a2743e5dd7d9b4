"""The bundled sample market: synthetic, for examples, tests and a first run."""

from pathlib import Path

from bt_margin.core.errors import DataError
from bt_margin.data.load import load_market
from bt_margin.data.market import Market

__all__ = ["bundled_folder", "sample_market"]

PACKAGE = Path(__file__).parents[1]
PROBE = "BTCUSDT_1m_trade.parquet"


def bundled_folder() -> Path:
    """The folder with the sample market's files.

    Returns:
        The one inside an installed package, else the source tree's.

    Raises:
        DataError: neither folder holds the files.
    """
    folders = (PACKAGE / "bundled" / "data", PACKAGE.parent / "data")
    for folder in folders:
        if (folder / PROBE).is_file():
            return folder
    raise DataError(
        " or ".join(str(folder) for folder in folders),
        f"{PROBE} is missing",
        "reinstall bt_margin, or run `python data/make_sample.py` in its source tree",
    )


def sample_market() -> Market:
    """The sample market: five synthetic perpetuals over four days, 1-minute candles.

    Returns:
        The market; ``data/README.md`` tells what happens in it.
    """
    loaded = load_market(bundled_folder())
    return Market("bundled sample", loaded.values())
