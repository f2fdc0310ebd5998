"""Build reports from lines, tables, figures, diagnostics and the waiting line."""
