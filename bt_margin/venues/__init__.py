"""Venues: pages of dated facts, found by name."""

from .generic import GENERIC
from .venue import Venue, get_venue, register_venue, venue_names

__all__ = ["GENERIC", "Venue", "get_venue", "register_venue", "venue_names"]

register_venue(GENERIC)
