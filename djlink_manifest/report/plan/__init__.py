"""A plan as text, JSON, HTML and drawing, and its summary."""
