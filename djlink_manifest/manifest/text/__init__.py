"""YAML text to trees of values with the place of each, and back; overlays of several files."""
