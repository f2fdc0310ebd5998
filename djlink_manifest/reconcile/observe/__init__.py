"""Reach the servers and observe the links. Reads only."""
