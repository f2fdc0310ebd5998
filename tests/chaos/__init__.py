"""Whole `djlink` processes, servers and connections that end at random moments, while owners work.

Made apart from the other tests of faults: its pipeline, its proxy, its rule of what is wanted and its checks
are its own, so that a mistake in those of `tests/support` is not repeated.
"""
