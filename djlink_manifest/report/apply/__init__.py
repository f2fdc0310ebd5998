"""Report an apply while it runs and at its end."""
