"""Why an entity is in its state, and what is asked of single links."""
