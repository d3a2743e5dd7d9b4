"""Where a strategy comes from: a class, or a file that holds one."""

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import backtrader as bt

from bt_margin.core.errors import ParameterError, StrategyError

__all__ = ["StrategySource", "bundled_strategies"]

_PACKAGE = Path(__file__).parents[1]


def bundled_strategies() -> Path:
    """The folder of example strategies: in an installed package, or its source."""
    folders = (_PACKAGE / "bundled" / "strategies", _PACKAGE.parent / "strategies")
    for folder in folders:
        if (folder / "scalper.py").is_file():
            return folder
    raise StrategyError(
        f"no example strategies in {' or '.join(map(str, folders))}:"
        " reinstall bt_margin, or name a strategy file"
    )


@dataclass(frozen=True, slots=True)
class StrategySource:
    """A strategy that another process can load again.

    Attributes:
        path: the file; ``None``: the class itself is given.
        name: the class's name in the file; ``None``: the only one there.
        given: the class; ``None``: it is in the file.
    """

    path: Path | None = None
    name: str | None = None
    given: type | None = None

    @classmethod
    def of(cls, strategy: "StrategySource | type | str | Path") -> "StrategySource":
        """From a class, a file, or ``file.py:Class``.

        Raises:
            StrategyError: what is given is none of these, or there is no such file.
        """
        if isinstance(strategy, cls):
            return strategy
        if isinstance(strategy, type):
            if not issubclass(strategy, bt.Strategy):
                raise StrategyError(
                    f"{strategy.__name__} is not a backtrader.Strategy: derive from it"
                )
            return cls(given=strategy)
        file, _, name = str(strategy).partition(".py:")
        path = Path(f"{file}.py" if name else file)
        if not path.is_file():
            raise StrategyError(f"{path}: no such strategy file: give a path to one")
        return cls(path.resolve(), name or None)

    def load(self) -> type:
        """The strategy class.

        Raises:
            StrategyError: the file cannot be imported, or names no single strategy.
        """
        if self.given is not None:
            return self.given
        if self.path is None:
            raise StrategyError("no strategy given: name a class or a file")
        module = self._module(self.path)
        found = {
            name: member
            for name, member in inspect.getmembers(module, inspect.isclass)
            if issubclass(member, bt.Strategy) and member.__module__ == module.__name__
        }
        if self.name is not None and self.name not in found:
            known = ", ".join(found) or "none"
            raise StrategyError(f"{self.path}: no strategy {self.name}: it has {known}")
        if self.name is not None:
            return found[self.name]
        if not found:
            raise StrategyError(
                f"{self.path}: no strategy: define a class derived from bt.Strategy"
            )
        if len(found) > 1:
            names = ", ".join(found)
            first = next(iter(found))
            raise StrategyError(
                f"{self.path}: several strategies ({names}):"
                f" choose one as {self.path.name}:{first}"
            )
        return next(iter(found.values()))

    @staticmethod
    def _module(path: Path) -> ModuleType:
        """The file as a module: run once, and again only when it has changed."""
        return _imported(path, path.stat().st_mtime_ns)

    def params(self, given: Mapping[str, Any], leverage: float) -> dict[str, Any]:
        """Parameters for a run at ``leverage``.

        A strategy that declares ``leverage`` gets the run's, unless it is given: its
        sizes then follow the leverage compared.

        Raises:
            ParameterError: the strategy has no parameter of a given name.
        """
        known = self.load().params._getkeys()  # type: ignore[attr-defined]
        for name, value in given.items():
            if name not in known:
                fix = f"{self.title} has " + (", ".join(known) or "no parameters")
                raise ParameterError(f"strategy parameter {name}", value, fix)
        follows = {"leverage": leverage} if "leverage" in known else {}
        return {**follows, **given}

    @property
    def title(self) -> str:
        """The strategy's name, for people."""
        return self.load().__name__


@lru_cache(maxsize=64)
def _imported(path: Path, changed: int) -> ModuleType:  # noqa: ARG001
    """Import a file under a name of its own.

    Backtrader looks the module of an indicator up in ``sys.modules``.
    """
    name = f"bt_margin_strategy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StrategyError(f"{path}: not a Python file: give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        kind = type(error).__name__
        raise StrategyError(
            f"{path}: cannot be imported ({kind}: {error}): fix the file"
        ) from error
    return module
