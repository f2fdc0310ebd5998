"""Read a manifest as a revision of git has it; tell what differs between two manifests, and what it means."""
