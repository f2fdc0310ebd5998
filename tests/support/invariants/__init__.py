"""What holds at every instant, whatever a test does."""
