"""What people type or paste for a record or an incident, made the id that the ledger knows."""

import re
from urllib.parse import urlsplit

from sqlalchemy import Connection

from pd_sf_rules.errors import ConfigError
from pd_sf_rules.ledger import snapshots
from pd_sf_rules.model import PAGERDUTY, SALESFORCE

_RECORD = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
NUMBER_FIELDS = ("CaseNumber", "Name")
"""Fields that people name a record by, found among the values that rules made the ledger keep."""


def full_record_id(text: str) -> str | None:
    """Return the 18-character form of a record id of 15 or 18, or in a record's address; None if it is none.

    The last three characters tell which of the first fifteen are capitals (Salesforce, "ID field type").
    """
    words = [part for part in urlsplit(text.strip()).path.split("/") if _RECORD.fullmatch(part)]
    if not words:
        return None
    first = words[-1][:15]
    groups = [first[at : at + 5] for at in (0, 5, 10)]
    bits = [sum(1 << at for at, char in enumerate(group) if char.isupper()) for group in groups]
    return first + "".join(_CHECK[each] for each in bits)


def find_record(c: Connection, text: str) -> str:
    """Return the id of the record that `text` names: an id, an address, or a number such as a Case's.

    Raises ConfigError when nothing, or more than one record, has that number.
    """
    known = full_record_id(text)
    if known is not None:
        return known
    seen = snapshots.find_by_value(c, SALESFORCE, NUMBER_FIELDS, text.strip())
    hint = "Give its id; numbers are known where a rule names the field (CaseNumber)."
    return _only(text, "record", {one.target_id for one in seen}, hint)


def find_incident(c: Connection, text: str) -> str:
    """Return the id of the incident that `text` names: an id, an address, or its number."""
    word = urlsplit(text.strip()).path.rstrip("/").rpartition("/")[2] or text.strip()
    if not word.lstrip("#").isdigit():
        return word
    seen = snapshots.find_by_value(c, PAGERDUTY, ("number",), int(word.lstrip("#")))
    return _only(text, "incident", {one.target_id for one in seen}, "Give its id.")


def _only(text: str, what: str, found: set[str], hint: str) -> str:
    if len(found) == 1:
        return found.pop()
    if found:
        listed = ", ".join(sorted(found)[:5])
        raise ConfigError(f"Several {what}s are called '{text}': {listed}.", hint="Give the id.")
    raise ConfigError(f"The ledger knows no {what} '{text}'.", hint=hint)
