"""Carry out deletions: requested, confirmed, noted, orphans."""
