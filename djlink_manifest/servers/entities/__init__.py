"""Sets and counts of entities: which are wanted, pullable, held, and what is in their way."""
