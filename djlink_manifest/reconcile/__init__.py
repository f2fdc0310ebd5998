"""Compare what is declared with what is there, and bring it about: resolve → observe → plan → apply."""
