"""Speed without meaning: take this room away and only time changes."""

from .install import install, remove

__all__ = ["install", "remove"]
