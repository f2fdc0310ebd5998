"""What a manifest may say, checked by models, and the frozen values that it becomes."""
