"""Tables as values: definitions, what is derived from them, and how two of them differ."""
