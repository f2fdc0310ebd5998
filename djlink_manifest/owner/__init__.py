"""The owner's side: who holds what of a source, asking for deletions, withdrawing, deleting. No manifest."""
