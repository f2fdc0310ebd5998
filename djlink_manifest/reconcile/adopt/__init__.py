"""Take over tables owned by another manifest, or by none."""
