"""Values: what a link, a table definition, an entity's state and a graph of links are. No I/O."""
