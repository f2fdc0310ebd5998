"""Render plans, reports and problems as text, JSON and drawings. This package decides nothing."""
