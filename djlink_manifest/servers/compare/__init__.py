"""Comparing keys and rows of two servers by digests computed where the rows are."""
