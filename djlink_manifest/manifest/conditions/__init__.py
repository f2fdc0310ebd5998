"""SQL text of a `where`: cut into tokens, held to what a condition may say, and the names that it uses."""
