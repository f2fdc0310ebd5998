"""Plans, reports and problems as text, JSON and drawings. Nothing is decided here."""
