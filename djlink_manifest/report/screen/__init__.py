"""What all reports are built from: lines, tables, figures, diagnostics, the waiting line."""
