"""Sessions with a server: connection, pool, protocol, errors, and values checked when they are read."""
