"""Pipelines that several test modules link, and how their tables are asked."""
