"""What a new manifest needs: a draft from a source's catalog, and grants."""
