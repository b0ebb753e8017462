"""Limits for visitors: counters, budgets and throttling."""
