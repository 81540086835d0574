"""The `pdsf` command: the same pipeline without Airflow, and the tools for people who edit rulesets."""

from pd_sf_rules.cli.main import main

__all__ = ["main"]
