"""Which entities are wanted, computed in plain Python, and random pipelines to compare djlink with."""
