"""A link's tables, conditions, references and rows as SQL."""
