"""The public surface is what it says it is."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bt_margin

MODULES = [
    module.name for module in pkgutil.walk_packages(bt_margin.__path__, "bt_margin.")
]


@pytest.mark.parametrize("name", ["bt_margin", *MODULES])
def test_every_listed_name_exists_and_is_listed_once(name: str) -> None:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert sorted(names, key=str) == sorted(set(names))
    assert [one for one in names if not hasattr(module, one)] == []


def test_the_package_lists_every_public_name_it_imports() -> None:
    public = {
        name
        for name, value in vars(bt_margin).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public == set(bt_margin.__all__)


def test_typed_marker_travels_with_the_package() -> None:
    assert (Path(bt_margin.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("heavy", ["plotly", "ccxt", "matplotlib", "rich", "click"])
def test_importing_the_package_stays_light(heavy: str) -> None:
    code = f"import sys, bt_margin; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
