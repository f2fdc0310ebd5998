"""The commands: one module for each, or for commands that share code."""
