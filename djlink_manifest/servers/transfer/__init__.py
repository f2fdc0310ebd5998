"""Rows from the source to the local server: streamed, loaded or refreshed, one batch at a time."""
