"""Random histories of one pipeline."""
