"""What the other commands report: adoption, doctor, explanation, the owner's side."""
