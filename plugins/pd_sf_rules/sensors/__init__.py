"""Deferrable sensors over the doorbells, for anybody's DAGs."""
