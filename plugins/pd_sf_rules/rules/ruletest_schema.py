"""The shape of a rule test file, as pydantic models."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from pd_sf_rules.rules.schema import Name
from pd_sf_rules.rules.shapes import ObjectName, Strict
from pd_sf_rules.rules.templates import LINK_NAMES
from pd_sf_rules.rules.values import as_instant
from pd_sf_rules.rules.yaml_tree import Path

Values = dict[str, Any]


def _instant(value: Any) -> Any:
    if as_instant(value) is None:
        raise PydanticCustomError(
            "instant", "This must be an instant such as 2026-01-31T10:00:00Z."
        )
    return value


def _expected(value: Any) -> Any:
    """Accept `none`, or a list of actions: `- add_note`, `- add_note: {content: …}`."""
    if value == "none":
        return value
    members = value if isinstance(value, list) and value else [None]
    for each in members:
        named = isinstance(each, dict) and len(each) == 1
        params = next(iter(each.values())) if isinstance(each, dict) and named else {}
        if not (isinstance(each, str) or named) or not isinstance(params, dict | None):
            problem = "This must be none, or a list of actions with the parameters to compare."
            raise PydanticCustomError("expect", problem)
    return value


def _event(value: Any) -> Any:
    """Let the event's type stand for the whole event."""
    return {"type": value} if isinstance(value, str) else value


class EventModel(Strict):
    """What happened."""

    type: str
    agent: str = "Somebody"
    occurred_at: Annotated[str, BeforeValidator(_instant)] = "2026-01-01T00:00:00Z"


class CaseModel(Strict):
    """One test."""

    name: Name
    rule: Name | None = None
    event: Annotated[EventModel, BeforeValidator(_event)]
    object: ObjectName | None = None
    record: Values = Field(default_factory=dict)
    old: Values | None = None
    incident: Values = Field(default_factory=dict)
    linked_by: list[Name] = Field(default_factory=list)
    links: dict[Literal["record_url", "incident_url"], str] = Field(default_factory=dict)
    types: dict[str, str] = Field(default_factory=dict)
    expect: Annotated[Any, BeforeValidator(_expected)]
    because: str | None = None

    def flat_record(self) -> Values:
        """Return the record's values by dotted path."""
        return dict(_flat(self.record))

    def flat_incident(self) -> Values:
        """Return the incident's values by dotted path."""
        return dict(_flat(self.incident))

    def flat_old(self) -> Values:
        """Return the earlier values by dotted path."""
        return dict(_flat(self.old or {}))

    def expected(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the expected actions with the parameters to compare; empty for none."""
        if self.expect == "none":
            return []
        named = [{each: None} if isinstance(each, str) else each for each in self.expect]
        return [(kind, params or {}) for each in named for kind, params in each.items()]


class TestFileModel(Strict):
    """A file of tests for one ruleset file."""

    __test__ = False

    ruleset: Name | None = None
    tests: list[CaseModel] = Field(min_length=1)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested mappings as dotted paths."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def known_keys(path: Path) -> Iterable[str]:
    """Return the keys of the mapping in a test file that holds the last step of the path."""
    if len(path) == 1:
        return TestFileModel.model_fields
    if len(path) == 3:
        return CaseModel.model_fields
    if path[2:3] == ("event",):
        return EventModel.model_fields
    return LINK_NAMES if path[2:3] == ("links",) else ()
