"""Doorbells: they say "look now" and nothing else."""
