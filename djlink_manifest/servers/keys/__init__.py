"""Keys on a server: temporary tables, lists and ranges of keys, and predicates of them."""
