"""Stores of external files, and pipelines whose rows name objects in them."""
