"""What an apply works with: context, batches, workers, events."""
