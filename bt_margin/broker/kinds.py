"""Kinds of orders: Backtrader's execution types, grouped by how they are met."""

from backtrader import Order

__all__ = ["BY_THE_BAR", "STOPS", "STOP_LIMITS", "TRAILS"]

BY_THE_BAR = (Order.Market, Order.Close, Order.Historical)  # wait for no price
STOPS = (Order.Stop, Order.StopTrail)
STOP_LIMITS = (Order.StopLimit, Order.StopTrailLimit)
TRAILS = (Order.StopTrail, Order.StopTrailLimit)
