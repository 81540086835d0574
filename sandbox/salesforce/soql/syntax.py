"""The syntax tree of a SOQL query."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Path:
    """A field, reached over relationships: ``Account.Owner.Name``; ``at`` is its place."""

    parts: tuple[str, ...]
    at: int = 0
    label: bool = False  # toLabel(...)

    @property
    def text(self) -> str:
        """Return the path as written."""
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``COUNT()``, ``COUNT(x)``, ``COUNT_DISTINCT(x)``, ``MIN``, ``MAX``, ``SUM``, ``AVG``."""

    function: str
    path: Path | None
    alias: str | None = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class Aliased:
    """A grouped field under another name."""

    path: Path
    alias: str


@dataclass(frozen=True, slots=True)
class AllFields:
    """``FIELDS(ALL | STANDARD | CUSTOM)``."""

    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class TypeOf:
    """``TYPEOF Owner WHEN User THEN Email ELSE Name END``."""

    path: Path
    branches: tuple[tuple[str, tuple[Path, ...]], ...]
    otherwise: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SubQuery:
    """A query over children inside the SELECT list."""

    query: "Query"


SelectItem = Path | Aggregate | Aliased | AllFields | TypeOf | SubQuery


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted literal; ``raw`` is what stood between the quotes, escapes untouched."""

    raw: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Number:
    """A number literal."""

    value: float
    at: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """``true`` or ``false``."""

    value: bool
    at: int = 0


@dataclass(frozen=True, slots=True)
class Null:
    """``null``."""

    at: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """A date literal such as ``2026-11-01``."""

    value: date
    at: int = 0


@dataclass(frozen=True, slots=True)
class Instant:
    """A date-time literal such as ``2026-11-01T00:00:00Z``."""

    value: datetime
    at: int = 0


@dataclass(frozen=True, slots=True)
class RelativeDay:
    """A date literal such as ``TODAY`` or ``LAST_N_DAYS:7``."""

    name: str
    count: int | None = None
    at: int = 0


Term = Text | Number | Truth | Null | Day | Instant | RelativeDay


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator literal``; operators = != < <= > >= LIKE."""

    left: Path | Aggregate
    operator: str
    right: Term


@dataclass(frozen=True, slots=True)
class Membership:
    """``field [NOT] IN (literals | query)``, ``INCLUDES`` and ``EXCLUDES``."""

    left: Path
    operator: Literal["IN", "NOT IN", "INCLUDES", "EXCLUDES"]
    right: "tuple[Term, ...] | Query"


@dataclass(frozen=True, slots=True)
class Negation:
    """``NOT condition``."""

    inner: "Condition"


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by one word."""

    word: Literal["AND", "OR"]
    parts: "tuple[Condition, ...]"


Condition = Comparison | Membership | Negation | Junction


@dataclass(frozen=True, slots=True)
class Order:
    """One key of ORDER BY."""

    key: Path | Aggregate
    descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A whole query; ``at`` is the place of the object's name."""

    text: str
    select: tuple[SelectItem, ...]
    object: str
    at: int
    where: Condition | None = None
    group_by: tuple[Path, ...] = ()
    having: Condition | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    all_rows: bool = False
    alias: str | None = field(default=None)

    @property
    def counts_only(self) -> bool:
        """Whether it is ``SELECT COUNT() FROM ...``."""
        return (
            len(self.select) == 1
            and isinstance(self.select[0], Aggregate)
            and self.select[0].path is None
        )

    @property
    def aggregated(self) -> bool:
        """Whether it answers with aggregates instead of records."""
        return bool(self.group_by) or any(isinstance(each, Aggregate) for each in self.select)
