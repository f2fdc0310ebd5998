"""A server as values: its address, its catalog, its settings and the rights of an account."""
