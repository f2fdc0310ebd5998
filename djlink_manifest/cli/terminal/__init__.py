"""The terminal: the screen, files, errors as text and exit code, and Ctrl-C."""
