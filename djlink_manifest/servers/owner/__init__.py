"""The owner's statements, with the owner's own account."""
