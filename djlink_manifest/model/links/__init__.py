"""Links as values: their graph, the states of their entities, and what refers to them."""
