"""What the doctor examines, and what it finds."""
