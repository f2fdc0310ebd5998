"""A plan as a document of its own: its form, read from a file, and back as a plan to show."""
