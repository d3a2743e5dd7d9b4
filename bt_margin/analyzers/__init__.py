"""Analyzers: what a run was, told after it, with no change in the strategy."""

from .margin import Margin
from .refusal import Refusal

__all__ = ["Margin", "Refusal"]
