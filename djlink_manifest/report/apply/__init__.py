"""What an apply reports while it runs and at its end."""
