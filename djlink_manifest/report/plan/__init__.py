"""Render a plan as text, JSON, HTML and drawing, and the summary of an apply."""
