"""Ids of things that rules call by name: services, priorities, policies, users, workflows."""

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any
from urllib.parse import quote

from pd_sf_rules.errors import RefusedError, SkippableError
from pd_sf_rules.systems.pagerduty.client import PagerDutyClient

_PAGES_FOR_NEAR_NAMES = 5
_WORTH_A_LIST = 4


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of thing: how people call it, its list, and the attribute that names it."""

    word: str
    path: str
    attribute: str
    searchable: bool = True


_SERVICE = _Kind("service", "services", "name")
_PRIORITY = _Kind("priority", "priorities", "name", searchable=False)
_POLICY = _Kind("escalation policy", "escalation_policies", "name")
_USER = _Kind("user", "users", "email")
_WORKFLOW = _Kind("incident workflow", "incident_workflows", "name")


class Lookups:
    """Names to ids of one account, remembered. May be used from several threads.

    Every method takes an exact name (for users the e-mail address) or an id and returns the id.
    Raises RefusedError when nothing has that name, naming near ones, or when two things have it.
    """

    def __init__(self, client: PagerDutyClient) -> None:
        self._client = client
        self._lock = threading.RLock()
        self._known: dict[tuple[str, str], str] = {}
        self._lists: dict[str, list[Mapping[str, Any]]] = {}

    def service(self, name_or_id: str) -> str:
        """Return a service's id."""
        return self._id(_SERVICE, name_or_id)

    def priority(self, name_or_id: str) -> str:
        """Return a priority's id."""
        return self._id(_PRIORITY, name_or_id)

    def escalation_policy(self, name_or_id: str) -> str:
        """Return an escalation policy's id."""
        return self._id(_POLICY, name_or_id)

    def user(self, email_or_id: str) -> str:
        """Return a user's id."""
        return self._id(_USER, email_or_id)

    def workflow(self, name_or_id: str) -> str:
        """Return an incident workflow's id."""
        return self._id(_WORKFLOW, name_or_id)

    def forget(self) -> None:
        """Forget what was found, after PagerDuty refused one of the ids."""
        with self._lock:
            self._known.clear()
            self._lists.clear()

    def learn_users(self, emails: Collection[str]) -> None:
        """Find many users in a few calls, before each is asked for; those not found so are looked for by themselves.

        Whole pages of users are read as long as that costs less than a call for each.
        """
        self._learn(_USER, emails)

    def _id(self, kind: _Kind, text: str) -> str:
        wanted = text.strip()
        key = (kind.path, wanted)
        with self._lock:  # held while it is asked for, so that threads in need of one name ask once
            known = self._known.get(key)
            if known is None:
                known = self._known[key] = self._find(kind, wanted)
        return known

    def _learn(self, kind: _Kind, names: Collection[str]) -> None:
        with self._lock:
            known = {name for path, name in self._known if path == kind.path}
            missing = {name.strip() for name in names} - known - {""}
            if len(missing) < _WORTH_A_LIST:
                return
            found: dict[str, list[str]] = {}
            pages = self._client.pages(kind.path, kind.path, doing=f"the {kind.path}")
            for page in islice(pages, len(missing) // _WORTH_A_LIST):
                for row in page:
                    found.setdefault(_name(row, kind), []).append(str(row.get("id")))
                if missing <= found.keys():
                    break
            self._known |= {
                (kind.path, name): found[name][0]
                for name in missing
                if len(found.get(name, ())) == 1
            }

    def _find(self, kind: _Kind, wanted: str) -> str:
        if not wanted:
            raise RefusedError(f"The {kind.word} is blank.", hint="Name one in the rule's action.")
        rows = list(self._rows(kind, wanted))
        hits = _hits(rows, kind, wanted)
        if not hits and kind.searchable and self._exists(kind, wanted):
            return wanted
        if len(hits) == 1:
            return hits[0]
        if hits:
            ids = ", ".join(hits)
            message = f"{len(hits)} things are called '{wanted}' ({kind.word}): {ids}."
            raise RefusedError(message, code="ambiguous", hint="Use the id of the one you mean.")
        raise self._nothing(kind, wanted)

    def _rows(self, kind: _Kind, wanted: str) -> Iterator[Mapping[str, Any]]:
        """Yield the account's things, narrowed by the server where it can."""
        if not kind.searchable:
            yield from self._listed(kind)
            return
        params = {"query": wanted}
        for page in self._client.pages(kind.path, kind.path, params, doing=f"the {kind.path}"):
            yield from page

    def _listed(self, kind: _Kind) -> list[Mapping[str, Any]]:
        """Return all things of a kind that is short and cannot be searched, read once."""
        if kind.path not in self._lists:
            pages = self._client.pages(kind.path, kind.path, doing=f"the {kind.path}")
            self._lists[kind.path] = [row for page in pages for row in page]
        return self._lists[kind.path]

    def _exists(self, kind: _Kind, wanted: str) -> bool:
        """Say whether `wanted` is an id: letters and digits only, and PagerDuty knows it."""
        if not (wanted.isascii() and wanted.isalnum()):
            return False
        path = f"{kind.path}/{quote(wanted, safe='')}"
        try:
            self._client.get(path, doing=f"{kind.word} {wanted}")
        except SkippableError:
            return False
        except RefusedError as refusal:
            if refusal.status not in {400, 404}:
                raise
            return False
        return True

    def _nothing(self, kind: _Kind, wanted: str) -> RefusedError:
        pages = self._client.pages(kind.path, kind.path, doing=f"the {kind.path}")
        rows = [row for page in islice(pages, _PAGES_FOR_NEAR_NAMES) for row in page]
        by_lower = {_name(row, kind).lower(): _name(row, kind) for row in rows}
        near = get_close_matches(wanted.lower(), by_lower, n=3, cutoff=0.5)
        told = ", ".join(f"'{by_lower[one]}'" for one in near)
        return RefusedError(
            f"PagerDuty has no {kind.word} '{wanted}'.",
            code="unknown_name",
            status=404,
            hint=f"Did you mean {told}?" if told else "Use its exact name or its id.",
        )


def _hits(rows: list[Mapping[str, Any]], kind: _Kind, wanted: str) -> list[str]:
    """Return the ids of the things meant: by id, else by exact name, else by name in any case."""
    for fits in (
        lambda row: row.get("id") == wanted,
        lambda row: _name(row, kind) == wanted,
        lambda row: _name(row, kind).lower() == wanted.lower(),
    ):
        found = list(dict.fromkeys(str(row.get("id")) for row in rows if fits(row)))
        if found:
            return found
    return []


def _name(row: Mapping[str, Any], kind: _Kind) -> str:
    return str(row.get(kind.attribute) or (row.get("summary") if kind is not _USER else "") or "")
