"""What can go wrong with an embedded Airflow."""


class EmbeddedAirflowError(Exception):
    """One sentence saying what is wrong and what to do about it."""
