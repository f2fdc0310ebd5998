"""Take over tables that carry another mark or none."""
