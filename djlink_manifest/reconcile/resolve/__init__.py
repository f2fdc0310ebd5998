"""Manifest and catalogs to links and their graph, and what cannot become a link. Pure."""
