"""Stores of external objects as values, and the objects that a column names."""
