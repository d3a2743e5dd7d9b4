"""Questions that need many runs."""

from .compare import Comparison, compare
from .figures import Figures
from .price import PlannedPosition, plan_position
from .run import Run
from .source import StrategySource, bundled_strategies

__all__ = [
    "Comparison",
    "Figures",
    "PlannedPosition",
    "Run",
    "StrategySource",
    "bundled_strategies",
    "compare",
    "plan_position",
]
