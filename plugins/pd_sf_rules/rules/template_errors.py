"""What can be wrong with a template, and the bounds it lives in."""

from pd_sf_rules.errors import ConfigError

MAX_TEMPLATE = 10_000
MAX_OUTPUT = 100_000


class TemplateError(ConfigError):
    """A template that cannot be used or rendered."""


class UnknownNameError(TemplateError):
    """A template that names something that is not there."""


def too_long() -> TemplateError:
    """Return the error for a text that grew past the bound."""
    problem = f"The template renders to more than {MAX_OUTPUT:,} characters."
    return TemplateError(problem, hint="Cut it: {{ record.Description | truncate(2000) }}.")
