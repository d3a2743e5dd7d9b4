"""Funding: what the stamps have brought and taken so far."""

from typing import Any, ClassVar

from .base import AccountObserver

__all__ = ["Funding"]


class Funding(AccountObserver):
    """Sum of all funding payments so far: + received, - paid, settle currency.

    With ``addobserver`` of all feeds, with ``addobservermulti`` a panel for each.
    """

    lines: Any = ("funding",)

    plotinfo: ClassVar[Any] = {
        "plotname": "Funding",
        "plothlines": [0.0],
        "plotymargin": 0.1,
        "plotlinelabels": True,
    }
    plotlines: ClassVar[Any] = {
        "funding": {
            "_name": "received so far",
            "color": "seagreen",
            "drawstyle": "steps-post",
        }
    }

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0
        self._total = 0.0

    def observe(self, broker: Any) -> None:
        """Add the payments since the last look."""
        symbols = {broker.instrument(data).symbol for data in self.datas}
        news = broker.fundings[self._seen :]
        self._seen += len(news)
        self._total += sum(float(e.payment) for e in news if e.symbol in symbols)
        self.lines.funding[0] = self._total
