"""The terminal: the screen, files, failures as text and exit code, and Ctrl-C."""
