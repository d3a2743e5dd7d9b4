"""Virtual environments of the peers: made once in a folder, and kept there."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

READER = "pyarrow"  # of the market's parquet file, in each of them


@dataclass(frozen=True)
class Peer:
    """A package, the program that runs it, and what is to be known of its figures."""

    package: str
    version: str
    program: str
    note: str
    reader: str = READER  # as the installer is told


PEERS = (
    Peer(
        "backtesting",
        "0.6.6",
        "backtesting_py",
        "margin; averages by pandas; includes its own table of statistics",
    ),
    Peer(
        "vectorbt",
        "1.2.0",
        "vectorbt_signals",
        "signals as arrays in compiled code; no margin, no code per bar",
    ),
    Peer(
        "nautilus_trader",
        "1.221.0",
        "nautilus_engine",
        "margin; compiled engine, strategy in Python; fills at the signal bar's close",
    ),
    Peer(
        "backtrader-next",
        "2.3.7",
        "backtrader_next_once",
        "Backtrader's own accounting, with its faster feed and loop",
    ),
    Peer(
        "jesse",
        "3.5.3",
        "jesse_research",
        "isolated margin; averages over a window at each bar; fills at its close",
        "pyarrow==17.0.0",  # jesse pins numpy below 2, which later ones need
    ),
)


def python_of(peer: Peer, folder: Path) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there.

    Args:
        peer: what has to be installed.
        folder: of the environments; each is in a folder named after its package.

    Raises:
        RuntimeError: with the installer's last words.
    """
    home = folder / peer.package
    programs = "Scripts" if sys.platform == "win32" else "bin"
    python = home / programs / "python"
    if _installed(python, peer.package) == peer.version:
        return python
    _call([sys.executable, "-m", "venv", str(home)])
    wanted = [f"{peer.package}=={peer.version}", peer.reader]
    _call([str(python), "-m", "pip", "install", "--quiet", *wanted])
    return python


def _installed(python: Path, package: str) -> str | None:
    """The version of a package in an environment, if it has it and the reader."""
    ask = f"import {READER}, importlib.metadata as m; print(m.version({package!r}))"
    try:
        done = _run([str(python), "-c", ask])
    except OSError:
        return None
    return done.stdout.strip() if not done.returncode else None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _call(command: list[str]) -> None:
    """Run a command that has to succeed."""
    try:
        done = _run(command)
    except OSError as error:
        raise RuntimeError(str(error)) from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(words[-1] if words else f"{command} failed")
