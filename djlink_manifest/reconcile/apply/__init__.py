"""Carry out a plan: schema changes, pulls, refreshes, removals."""
