"""Appliers, one file a family: each takes prepared tasks, writes to one system, and records what came of it."""
