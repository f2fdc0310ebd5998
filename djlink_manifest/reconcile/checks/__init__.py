"""What `djlink doctor` finds: pure functions from what servers say to findings, each with why and its fix."""
