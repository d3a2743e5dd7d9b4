"""Pictures of a run: Backtrader's plot, saved to files, with no screen needed."""

from .save import save_plot

__all__ = ["save_plot"]
