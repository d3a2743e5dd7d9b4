"""save_plot: pictures of a run, without a screen and without side effects."""

import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import backtrader as bt
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import bt_margin
from bt_margin import observers, plotting

PNG = b"\x89PNG\r\n\x1a\n"
CLOSES = [100, 101, 100, 99, 98, 97, 90, 86, 84, 88, 90, 93, 95, 96, 95, 97]


def bars(scale: float = 1.0) -> pd.DataFrame:
    frame = pd.DataFrame({"open": CLOSES}, dtype=float) * scale
    frame["close"] = frame.open.shift(-1).fillna(frame.open.iloc[-1])
    frame["high"] = frame[["open", "close"]].max(axis=1)
    frame["low"] = frame[["open", "close"]].min(axis=1)
    frame["volume"] = 1000.0
    frame.index = pd.date_range("2024-01-01", periods=len(frame), freq="1h")
    return frame


class Hold(bt.Strategy):
    def nextstart(self) -> None:
        for data in self.datas:
            self.buy(data=data, size=100 / data.close[0])


def ready(mode: str = "isolated", feeds: int = 1, **settings: Any) -> bt.Cerebro:
    cerebro = bt.Cerebro(**settings)
    cerebro.setbroker(
        bt_margin.MarginBroker(cash=100, leverage=10, margin_mode=mode, venue="generic")
    )
    for number in range(feeds):
        frame = bars(0.001**number)
        cerebro.adddata(bt_margin.PerpData(dataname=frame, name=f"coin{number}"))
    for observer in (observers.MarginRatio, observers.Wallets, observers.Funding):
        cerebro.addobserver(observer)
    for observer in (observers.LiquidationPrice, observers.Liquidations):
        cerebro.addobservermulti(observer)
    return cerebro


def ran(mode: str = "isolated", feeds: int = 1, **settings: Any) -> bt.Cerebro:
    cerebro = ready(mode, feeds, **settings)
    cerebro.addstrategy(Hold)
    cerebro.run()
    return cerebro


def pixels(path: Path) -> Any:
    """The picture's colours, after a look at whether it is one."""
    assert path.read_bytes().startswith(PNG)
    return imread(path)[:, :, :3]


def share_of(picture: Any, color: str) -> float:
    """Share of the pixels that have a colour."""
    return float((np.abs(picture - to_rgb(color)).max(axis=2) < 0.02).mean())


@pytest.mark.parametrize("feeds", [1, 2])
@pytest.mark.parametrize("mode", ["isolated", "cross", "off"])
def test_a_run_becomes_a_picture(mode: str, feeds: int, tmp_path: Path) -> None:
    target = tmp_path / "run.png"
    assert plotting.save_plot(ran(mode, feeds), target) == [target]
    picture = pixels(target)
    height, width, _ = picture.shape
    assert 1400 < width < 1700
    assert 400 + 400 * feeds < height < 800 + 800 * feeds
    assert 0.02 < 1 - share_of(picture, "white") < 0.5
    assert share_of(picture, "black") > 0.001
    # The liquidation price is on the chart, beyond it (in the legend), nowhere.
    least = {"isolated": 0.0001, "cross": 0.00001, "off": 0.0}[mode]
    assert (share_of(picture, "darkorange") > least) is (mode != "off")


def test_a_liquidation_is_marked(tmp_path: Path) -> None:
    cerebro = ran()
    assert cerebro.broker.liquidations
    (file,) = plotting.save_plot(cerebro, tmp_path / "run")
    assert file == tmp_path / "run.png"
    assert share_of(pixels(file), "magenta") > 0
    (safe,) = plotting.save_plot(ran("off"), tmp_path / "safe.png")
    assert share_of(pixels(safe), "magenta") == 0


@pytest.mark.parametrize("style", ["line", "bar", "candle"])
def test_backtraders_options_are_taken(style: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"style": style, "volume": False, "tight": False}
    (file,) = plotting.save_plot(
        ran(), tmp_path / "a.png", width=8, height=5, dpi=50, **options
    )
    assert pixels(file).shape == (250, 400, 3)
    # The options are of that picture only.
    (later,) = plotting.save_plot(ran(), tmp_path / "b.png")
    (plain,) = plotting.save_plot(ran(), tmp_path / "c.png", style="line", volume=True)
    assert later.read_bytes() == plain.read_bytes()


def test_a_picture_for_each_figure_and_strategy(tmp_path: Path) -> None:
    cerebro = ready()
    for _ in range(2):
        cerebro.addstrategy(Hold)
    cerebro.run()
    files = plotting.save_plot(cerebro, str(tmp_path / "run.png"), numfigs=2)
    assert [file.name for file in files] == [f"run-{n}.png" for n in (1, 2, 3, 4)]
    for file in files:
        assert 1 - share_of(pixels(file), "white") > 0.02


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (4, 12),
        (3, -1),
        (datetime(2024, 1, 1, 4), datetime(2024, 1, 1, 9)),
        (date(2024, 1, 1), date(2024, 1, 2)),
        (15, None),
    ],
)
def test_a_stretch_is_drawn(start: Any, end: Any, tmp_path: Path) -> None:
    (file,) = plotting.save_plot(ran(), tmp_path / "run.png", start=start, end=end)
    assert 1 - share_of(pixels(file), "white") > 0.01


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("volume", [True, False])
def test_a_clone_is_drawn_with_its_master(
    same: bool, volume: bool, tmp_path: Path
) -> None:
    cerebro = ready()
    clone = cerebro.resampledata(
        cerebro.datas[0], timeframe=bt.TimeFrame.Minutes, compression=240, name="slow"
    )
    clone.plotinfo.plotmaster = cerebro.datas[0]
    clone.plotinfo.sameaxis = same
    cerebro.addstrategy(Hold)
    cerebro.run()
    (file,) = plotting.save_plot(cerebro, tmp_path / "run.png", volume=volume)
    assert 1 - share_of(pixels(file), "white") > 0.02


def test_the_times_are_those_of_the_bars() -> None:
    chart = pytest.importorskip("bt_margin.plotting.chart")
    cerebro = ran()
    plotter = chart.Chart(scheme=chart.PlotScheme())
    ((figure,),) = cerebro.plot(plotter=plotter, iplot=False)
    last = [axes for axes in figure.axes if axes.get_subplotspec().is_last_row()]
    labelled = [axes.xaxis for axes in last if axes.xaxis.get_major_ticks()]
    labels = [text.get_text() for text in labelled[0].get_ticklabels()]
    places = [int(place) for place in labelled[0].get_ticklocs()]
    times = bars().index
    assert labels == [f"{times[place]:%Y-%m-%d %H:%M}" for place in places]
    assert len(labels) >= 5


def test_cheap_coins_show_their_digits() -> None:
    chart = pytest.importorskip("bt_margin.plotting.chart")
    plotter = chart.Chart(scheme=chart.PlotScheme())
    ((figure,),) = ran(feeds=2).plot(plotter=plotter, iplot=False)
    tags = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"97.000", "0.097000"} <= tags


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/run.png", "there is no folder"),
        ("", "it is a folder"),
        ("run.doc", r"end it with one of .*\.png"),
    ],
)
def test_a_path_that_cannot_be_written(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(bt_margin.MarginError, match=message):
        plotting.save_plot(ran(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no device that is always full")
    (tmp_path / "run.png").symlink_to(full)
    with pytest.raises(bt_margin.MarginError, match="No space left"):
        plotting.save_plot(ran(), tmp_path / "run.png")


def test_nothing_to_draw(tmp_path: Path) -> None:
    target = tmp_path / "run.png"
    cerebro = ready()
    cerebro.addstrategy(Hold)
    with pytest.raises(bt_margin.MarginError, match=r"call cerebro\.run\(\) first"):
        plotting.save_plot(cerebro, target)
    with pytest.raises(bt_margin.MarginError, match="exactbars=1"):
        plotting.save_plot(ran(exactbars=1), target)
    optimized = ready(maxcpus=1)
    optimized.optstrategy(Hold)
    optimized.run()
    with pytest.raises(bt_margin.MarginError, match="optimization"):
        plotting.save_plot(optimized, target)
    with pytest.raises(bt_margin.MarginError, match="nothing to draw"):
        plotting.save_plot("run", target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stile": "bar"}, "stile is 'bar': known plot options are .*style"),
        ({"iplot": True}, "iplot is True"),
        ({"max_bars": 10}, "16 bars in one figure"),
        ({"numfigs": 0}, "numfigs is 0"),
        ({"numfigs": 20}, "there are 16 bars"),
        ({"start": 12, "end": 4}, "there are 0 bars"),
        ({"start": "2024-01-01"}, "start is '2024-01-01'"),
        ({"start": -3}, "start is -3"),
        ({"width": 0}, "width is 0"),
        ({"dpi": -1}, "dpi is -1"),
    ],
)
def test_options_that_make_no_picture(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(bt_margin.MarginError, match=message):
        plotting.save_plot(ran(), tmp_path / "run.png", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bt_margin.plotting.chart", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("no_matplotlib")
def test_without_matplotlib_the_message_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(bt_margin.MarginError, match=r'pip install "bt_margin\[plot\]"'):
        plotting.save_plot(ran(), tmp_path / "run.png")


def test_matplotlib_use_is_given_back() -> None:
    assert mpl.use.__module__ == "matplotlib"


HEADLESS = """
import sys
import backtrader as bt, pandas as pd
import bt_margin
assert "matplotlib" not in sys.modules
before = figures = None
if {chosen!r}:
    import matplotlib
    matplotlib.use({chosen!r})
    import matplotlib.pyplot as plt
    plt.figure()
    before, figures = matplotlib.get_backend(), plt.get_fignums()
prices = [100, 97, 94, 90, 86, 95, 110]
bars = pd.DataFrame(dict.fromkeys(["open", "high", "low", "close", "volume"], prices))
bars.index = pd.date_range("2024-01-01", periods=len(bars), freq="1h")
cerebro = bt.Cerebro()
cerebro.setbroker(bt_margin.IsolatedBroker(cash=1_000, leverage=10))
cerebro.adddata(bt_margin.PerpData(dataname=bars, name="BTCUSDT"))
cerebro.addstrategy(bt.Strategy)
cerebro.addobservermulti(bt_margin.observers.LiquidationPrice)
cerebro.run()
import matplotlib
setting = dict.__getitem__(matplotlib.rcParams, "backend")
print(*bt_margin.plotting.save_plot(cerebro, "run.png"))
now = dict.__getitem__(matplotlib.rcParams, "backend")
# Without a screen pyplot itself forgets, once imported, a backend that needs one.
assert now == setting or now is matplotlib.rcsetup._auto_backend_sentinel
import matplotlib.pyplot as plt
assert plt.get_fignums() == (figures or [])
if before:
    assert matplotlib.get_backend() == before
"""


@pytest.mark.parametrize(
    ("backend", "chosen"),
    [(None, None), ("TkAgg", None), ("pdf", None), (None, "svg"), ("QtAgg", "svg")],
)
def test_it_needs_no_screen_and_leaves_the_backend(
    backend: str | None, chosen: str | None, tmp_path: Path
) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    }
    if backend is not None:
        environment["MPLBACKEND"] = backend
    run = subprocess.run(
        [sys.executable, "-c", HEADLESS.format(chosen=chosen)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "run.png\n", "")
    assert 1 - share_of(pixels(tmp_path / "run.png"), "white") > 0.02


def test_backtraders_own_plot_draws_the_observers() -> None:
    code = (
        "import sys, matplotlib.pyplot\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_plotting import ran\n"
        "((figure,),) = ran(feeds=2).plot(iplot=False)\n"
        "labels = {text for axes in figure.axes if axes.get_legend()"
        " for text in map(str, axes.get_legend().get_texts())}\n"
        "print(sum('iquidat' in label for label in labels))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "4\n"), run.stderr
