"""When, with what and on what the benchmarks ran."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("backtrader", "numpy", "pandas", "bt_margin")


def facts() -> dict[str, str]:
    """Date, versions and machine, by name."""
    versions = [f"python {platform.python_version()}"]
    versions += [f"{name} {_version(name)}" for name in PACKAGES]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": ", ".join(versions),
        "machine": f"{platform.platform()}, {_cpu()}, {os.cpu_count()} cores",
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a source tree on the path
        return "not installed"


def _cpu() -> str:
    """The processor's model, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
