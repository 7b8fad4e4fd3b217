"""How good, and how honest: one comparison of all lifters."""
