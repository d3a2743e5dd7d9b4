"""Questions that need many runs."""

from .compare import Comparison, compare
from .figures import Figures
from .run import Run
from .source import StrategySource, bundled_strategies

__all__ = [
    "Comparison",
    "Figures",
    "Run",
    "StrategySource",
    "bundled_strategies",
    "compare",
]
