"""Options that several commands share, and the job that they open."""
