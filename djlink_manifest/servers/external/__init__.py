"""External objects of a link: brought with its rows, and verified."""
