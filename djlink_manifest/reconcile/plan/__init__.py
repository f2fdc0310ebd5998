"""The plan: actions and what is blocked, decided from what was observed. Pure."""
