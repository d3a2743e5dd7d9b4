"""The adapter to Backtrader: brokers, commission scheme and feed."""

from .ambiguity import Ambiguity
from .broker import CrossBroker, IsolatedBroker, MarginBroker
from .commission import PerpCommission
from .feed import PerpData
from .orders import Shortfall
from .preview import Preview

__all__ = [
    "Ambiguity",
    "CrossBroker",
    "IsolatedBroker",
    "MarginBroker",
    "PerpCommission",
    "PerpData",
    "Preview",
    "Shortfall",
]
