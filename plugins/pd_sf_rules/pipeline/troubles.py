"""What failed or waits, grouped by what is wrong, so that a person mends one cause and not a hundred actions."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection

from pd_sf_rules.ledger import Ledger, actions, causes, expectations
from pd_sf_rules.ledger.actions import StoredAction
from pd_sf_rules.ledger.causes import ANY_DIGIT, Alike, Group
from pd_sf_rules.ledger.storms import HELD
from pd_sf_rules.pipeline import outcomes
from pd_sf_rules.pipeline.run import utc_now
from pd_sf_rules.planning.values import digest

BATCH = 250
"""How many actions one transaction gives up: each is several rows, and other writers wait meanwhile."""

FIXES = {
    outcomes.REFUSED: "Mend the rule or the record, then `pdsf replay --action ID` (or --failed).",
    outcomes.CONFIG: "Mend the ruleset file: the next sync tries it again with the mended rule.",
    outcomes.CONNECTION: "Mend the connection (`pdsf status` tests it): it is tried again by itself.",
    outcomes.RATE_LIMITED: "The server asked for a pause: it is tried again by itself.",
    outcomes.UNCERTAIN: "The answer was lost: it is looked up, then tried again, by itself.",
    outcomes.TRANSIENT: "It is tried again by itself.",
    HELD: "Decide: `pdsf errors --release STORM`, `--summary STORM` (one incident for all) or `--drop STORM`.",
}
LOOK = "Look at it, then `pdsf replay --action ID` or `pdsf errors --discard ID`."
_NUMBERS = re.compile(f"{ANY_DIGIT}+")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Actions with one cause: the same action of one rule, refused in the same words.

    `count` says how many; `failed` how many of them failed for good, `held` how many a breaker holds until a person
    decides about the `storm`. `fix` says what to do; `next_try` is the earliest time of a next try, None where there
    is none by itself. `behind` counts the actions of the same events and rules that wait for these. `is_lost`: the
    answer to one that failed is not known. `key` names the cause: the same as long as it is the same.
    `actions` are the first of them, oldest event first.
    """

    integration: str
    error_kind: str
    kind: str
    ruleset: str
    rule: str
    words: str
    fix: str
    count: int
    failed: int
    held: int
    behind: int
    next_try: datetime | None
    oldest: datetime
    is_lost: bool
    storm: str
    key: str
    actions: Sequence[StoredAction] = ()


def troubles(
    ledger: Ledger,
    integrations: Iterable[str],
    *,
    with_held: bool = True,
    each: int | None = None,
    most: int | None = None,
    looked_for: str = "",
) -> list[Trouble]:
    """Return the causes for which live actions failed or wait for their next try, those that failed first.

    The actions come with the first `most` causes, the first `each` of every one of them (None: all). Without
    `with_held` what a breaker holds is left out. With `looked_for` only causes with that text in what was said, in
    the names of the rule, or in an id of what they are about.
    """
    merged: list[tuple[Trouble, bool]] = []
    first: dict[str, list[str]] = {}
    for name in integrations:
        with ledger.read() as c:
            found = causes.groups(c, name, with_held=with_held, looked_for=looked_for.strip())
            if not found:
                continue
            waiting = causes.behind(c, name)
            listed = causes.members(c, name, with_held=with_held, limit=each)
        for member in listed:
            first.setdefault(_key_of(name, member.alike), []).append(member.id)
        merged += _merged(name, found, waiting)
    told = [one for one, fits in merged if (fits and looked_for) or _names(one, looked_for)]
    told.sort(key=lambda one: (-one.failed, one.oldest))
    return _with_actions(ledger, told[:most], first, each) + told[len(told[:most]) :]


def ids_of(
    ledger: Ledger, integration: str, wanted: Collection[str], *, with_held: bool = False
) -> list[str]:
    """Return the ids of all actions of these causes (keys of Troubles) that nobody carries out now."""
    with ledger.read() as c:
        found = causes.members(c, integration, with_held=with_held, limit=None)
    known: dict[Alike, bool] = {}
    for one in found:
        if one.alike not in known:
            known[one.alike] = _key_of(integration, one.alike) in wanted
    return [one.id for one in found if known[one.alike] and one.state != "claimed"]


def _merged(
    integration: str, groups: Iterable[Group], waiting: Mapping[Alike, int]
) -> list[tuple[Trouble, bool]]:
    """Join the groups that differ by nothing but the length of numbers in their words; say of each whether it fits."""
    by_key: dict[str, list[Group]] = {}
    for one in groups:
        by_key.setdefault(_key_of(integration, one.alike), []).append(one)
    behind: dict[str, int] = {}
    for alike, number in waiting.items():
        key = _key_of(integration, alike)
        behind[key] = behind.get(key, 0) + number
    return [
        (_trouble(integration, key, some, behind.get(key, 0)), any(one.fits for one in some))
        for key, some in by_key.items()
    ]


def _trouble(integration: str, key: str, groups: Sequence[Group], behind: int) -> Trouble:
    error_kind, kind, ruleset, rule, _ = groups[0].alike
    count = sum(one.count for one in groups)
    is_lost = any(one.is_lost for one in groups)
    is_held = error_kind == HELD
    return Trouble(
        integration=integration,
        error_kind=error_kind,
        kind=kind,
        ruleset=ruleset,
        rule=rule,
        words=min(one.message for one in groups),
        fix=LOOK if is_lost else FIXES.get(error_kind, LOOK),
        count=count,
        failed=0 if is_held else sum(one.failed for one in groups),
        held=count if is_held else 0,
        behind=behind,
        next_try=min((one.next_try for one in groups if one.next_try), default=None),
        oldest=min(one.oldest for one in groups),
        is_lost=is_lost,
        storm=min(one.storm for one in groups) if is_held else "",
        key=key,
    )


def _with_actions(
    ledger: Ledger, found: Sequence[Trouble], ids: Mapping[str, Sequence[str]], each: int | None
) -> list[Trouble]:
    wanted = {one.key: ids.get(one.key, ())[:each] for one in found}
    with ledger.read() as c:
        known = actions.get_actions(c, [one for some in wanted.values() for one in some])
    return [
        replace(one, actions=[known[i] for i in wanted[one.key] if i in known]) for one in found
    ]


def _key_of(integration: str, alike: Alike) -> str:
    *names, words = alike
    return digest(integration, *names, _NUMBERS.sub(ANY_DIGIT, words))[:16]


def _names(one: Trouble, looked_for: str) -> bool:
    word = looked_for.strip().casefold()
    texts = (one.words, one.rule, one.ruleset, one.kind, one.error_kind)
    return not word or any(word in text.casefold() for text in texts)


def discard(ledger: Ledger, ids: Iterable[str], *, reason: str) -> set[str]:
    """Give up failed or waiting actions: they are skipped for the reason given. The ids that were comes back."""
    gone: set[str] = set()
    rest = iter(dict.fromkeys(ids))
    while batch := list(islice(rest, BATCH)):
        with ledger.begin() as c:
            gone |= _discard(c, batch, reason)
    return gone


def _discard(c: Connection, ids: Sequence[str], reason: str) -> set[str]:
    gone: set[str] = set()
    for action_id, action in actions.get_actions(c, ids).items():
        if action.state in {"failed", "pending"} and actions.record_outcome(
            c, action_id, state="skipped", now=utc_now(), message=reason
        ):
            expectations.forget(c, action_id)
            gone.add(action_id)
    return gone
