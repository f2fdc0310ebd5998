"""Render the results of the other commands: adoption, doctor, explanation, the owner's commands."""
