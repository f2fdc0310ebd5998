"""What was observed, as values."""
