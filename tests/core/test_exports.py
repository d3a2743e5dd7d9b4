"""The room: sorted `__all__` of real names, and nothing but the standard library."""

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2] / "bt_margin" / "core"
MODULES = sorted(path.stem for path in ROOM.glob("*.py") if path.stem != "__init__")


def test_the_room_has_modules() -> None:
    assert "margin" in MODULES


def shelf(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name, as ruff sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", MODULES)
def test_all_is_sorted_and_names_real_objects(name: str) -> None:
    module = importlib.import_module(f"bt_margin.core.{name}")
    names = module.__all__
    assert sorted(set(names), key=shelf) == names
    assert [each for each in names if not hasattr(module, each)] == []


def own_names(tree: ast.Module) -> Iterator[str]:
    """Public names that a module defines itself."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


@pytest.mark.parametrize("name", MODULES)
def test_all_names_only_what_the_module_defines(name: str) -> None:
    tree = ast.parse((ROOM / f"{name}.py").read_text(encoding="utf-8"))
    module = importlib.import_module(f"bt_margin.core.{name}")
    assert set(module.__all__) <= set(own_names(tree))


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level package of every import; the room's own come out as ''."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = node.level == 1 or (node.module or "").startswith("bt_margin.core")
            yield "" if inside else (node.module or "..").split(".")[0]


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_core_imports_the_standard_library_and_itself(name: str) -> None:
    tree = ast.parse((ROOM / f"{name}.py").read_text(encoding="utf-8"))
    allowed = {"", *sys.stdlib_module_names}
    assert set() == set(imported(tree)) - allowed
