"""Writing manifests: drafts, formatting, and entries added to or removed from what a person wrote."""
