"""Catalogs: definitions, keys, checks and settings, read from information_schema and checked."""
