"""What the rules of chaos demand, told from the two systems' own journals by a model that knows nothing of the planner.

Salesforce shows a record only as it stands, so what a person wrote between two looks may have been seen or not: such
effects are demanded at most once, and those of what stood at the end exactly once. PagerDuty's log shows everything:
each entry of a person on a linked incident has its effects exactly once.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.pagerduty import incidents as stored
from sandbox.pagerduty import notes as stored_notes
from sandbox.salesforce.seed import API_USER
from sandbox.world import World
from tests.chaos.rules import MIRROR, PAGE_SERVICE, PHONE_SERVICE, PRIORITIES, TOKEN, TOLD, URL

OUR_USER = "PUSYNC1"


@dataclass(slots=True)
class Edit:
    """What one person's transaction wrote to a Case, in the order of the journal."""

    fields: dict[str, Any]
    token: str
    at: str


@dataclass(slots=True)
class Entry:
    """One log entry of an incident."""

    type: str
    at: datetime
    agent_id: str
    agent: str
    doc: dict[str, Any]
    late: bool

    @property
    def ours(self) -> bool:
        """Whether our user did it."""
        return self.agent_id == OUR_USER

    @property
    def told(self) -> str:
        """How the mirror rule tells it."""
        return f"{self.type} by {self.agent} at {self.at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(slots=True)
class Incident:
    """An incident, its notes and its log, oldest first."""

    id: str
    title: str
    service: str
    doc: dict[str, Any]
    notes: list[str]
    log: list[Entry]

    @property
    def ours(self) -> bool:
        """Whether our user created it."""
        return next(one for one in self.log if one.type == "trigger").ours


@dataclass(slots=True)
class Case:
    """A Case, its journal and its comments."""

    id: str
    row: dict[str, Any]
    edits: list[Edit] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)
    comments: list[tuple[str, bool]] = field(default_factory=list)
    made_by_us: bool = False
    incidents: list[Incident] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The subject, which nobody changes."""
        return str(self.row["Subject"])


@dataclass(slots=True)
class Truth:
    """Both systems as they stand, read without the API."""

    cases: list[Case]
    incidents: list[Incident]
    deleted: Mapping[str, str]
    """The subjects of deleted Cases by their ids: of them nothing is demanded, but nothing may come twice either."""
    asked_once: Counter[tuple[str, str]]
    """What cannot be looked up afterwards: (incident id, what was asked for) and how often it was done."""


def truth(sandbox: World) -> Truth:
    """Read both systems."""
    incidents = _incidents(sandbox)
    cases, deleted = _cases(sandbox)
    for row in sandbox.salesforce.records("CaseComment"):
        by_us = row["CreatedById"] == sandbox.salesforce.person(API_USER).user_id
        if row["ParentId"] in cases:
            cases[row["ParentId"]].comments.append((row["CommentBody"], by_us))
    by_title = {case.title: case for case in cases.values()}
    for incident in incidents:
        if incident.title in by_title:
            by_title[incident.title].incidents.append(incident)
    return Truth(list(cases.values()), incidents, deleted, _asked_once(sandbox))


def _cases(sandbox: World) -> tuple[dict[str, Case], dict[str, str]]:
    """Read the Cases that are there with their journals, and the subjects of those that are deleted, by id."""
    cases = {row["Id"]: Case(row["Id"], row) for row in sandbox.salesforce.records("Case")}
    deleted: dict[str, str] = {}
    for change in sandbox.salesforce.changes():
        case = cases.get(change["id"])
        if case is None:
            if change["operation"] == "create" and "Subject" in change["fields"]:
                deleted[change["id"]] = str(change["fields"]["Subject"])
            continue
        fields = change["fields"]
        by_us = change["by"] == API_USER
        if change["operation"] == "create":
            case.made_by_us = by_us
        if by_us and change["operation"] == "update":
            case.written.append(fields)
        elif not by_us and TOKEN in fields:
            case.edits.append(Edit(fields, str(fields[TOKEN]), change["at"]))
    return cases, deleted


def _asked_once(sandbox: World) -> Counter[tuple[str, str]]:
    """Count the workflows, status updates and requests for responders that PagerDuty took."""
    done: Counter[tuple[str, str]] = Counter()
    for one in sandbox.traffic.requests("pagerduty", writes_only=True):
        if not one.took_effect or (one.status or 200) >= 400:
            continue
        what = one.path.rstrip("/").rpartition("/")[2]
        if what == "instances":
            incident = one.body["incident_workflow_instance"]["incident"]["id"]
            done[incident, what] += 1
        elif what in {"status_updates", "responder_requests"}:
            done[one.path.split("/")[2], f"{what}: {one.body['message']}"] += 1
    return done


def _incidents(sandbox: World) -> list[Incident]:
    state = sandbox.pagerduty
    found = []
    for doc in stored.search(state, stored.Search(), 0, 1000):
        rows = state.store.docs(
            "SELECT doc FROM log_entries WHERE incident_id = ? ORDER BY seq", (doc["id"],)
        )
        log = [_entry(sandbox, row) for row in rows]
        notes = [
            str(one["content"]) for one in reversed(stored_notes.of_incident(state, doc["id"]))
        ]
        service = str(state.store.name("service", doc["service"]["id"]))
        found.append(Incident(doc["id"], doc["title"], service, doc, notes, log))
    return found


def _entry(sandbox: World, row: dict[str, Any]) -> Entry:
    agent = row.get("agent") or {}
    return Entry(
        type=row["type"].removesuffix("_log_entry"),
        at=datetime.fromisoformat(row["created_at"]).astimezone(UTC),
        agent_id=str(agent.get("id") or ""),
        agent=str(sandbox.pagerduty.store.name(agent["ref"], agent["id"])) if agent else "",
        doc=row,
        late=bool(
            sandbox.pagerduty.store.scalar(
                "SELECT visible_from FROM log_entries WHERE id = ?", [row["id"]]
            )
        ),
    )


def broken(now: Truth) -> list[str]:
    """Return every demand that is not met, in words."""
    wrong: list[str] = []
    for case in now.cases:
        wrong += [f"Case {case.id} ({case.title}): {one}" for one in _of_case(case)]
    wrong += _of_incidents(now)
    return wrong


def _of_case(case: Case) -> list[str]:
    return [
        *_pages(case),
        *_comments(case),
        *_writes(case),
        *(f"incident {one.id}: {said}" for one in case.incidents for said in _notes(case, one)),
        *_notes_there(case),
        *_final(case),
    ]


def _rises(case: Case) -> list[Edit]:
    return [one for one in case.edits if one.fields.get("Priority") == "High"]


def _pages(case: Case) -> list[str]:
    """One page for each time that the Case became High while no incident of it was open."""
    wrong = []
    ours = [one for one in case.incidents if one.ours]
    if len(ours) > len(_rises(case)):
        wrong.append(f"{len(ours)} incidents for {len(_rises(case))} rises")
    if not case.incidents and case.row["Priority"] == "High":
        wrong.append("nobody was paged")
    wrong += [f"paged {one.service}" for one in ours if one.service != PAGE_SERVICE]
    for at, later in enumerate(case.incidents):
        wrong += [
            f"{later.id} was created beside {earlier.id}, which had never been resolved"
            for earlier in case.incidents[:at]
            if later.ours and not _resolved_until(earlier, later.log[0].at)
        ]
    return wrong


def _resolved_until(incident: Incident, moment: datetime) -> bool:
    return any(one.type == "resolve" and one.at <= moment for one in incident.log)


def _comments(case: Case) -> list[str]:
    """Each entry of a person is told once, each note crosses once, and nothing else is there."""
    expected: Counter[str] = Counter()
    for incident in case.incidents:
        expected.update(
            e.told for e in incident.log if not e.ours and e.agent_id and e.type in TOLD
        )
        for text in incident.notes:
            if "note#" in text or "resolution#" in text:
                expected[text.removeprefix("Resolution Note: ")] += 1
    if case.made_by_us:
        expected[f"Opened for {case.title}"] += 1
    found = Counter(_bare(body, expected) for body, by_us in case.comments if by_us)
    return _differences("comment", expected, found)


def _bare(body: str, expected: Counter[str]) -> str:
    """A copied note as its author wrote it."""
    text = body.partition(" (PagerDuty): ")[2].removeprefix("Resolution Note: ")
    return text if text in expected else body


def _differences(what: str, expected: Counter[str], found: Counter[str]) -> list[str]:
    lost = expected - found
    more = found - expected
    return [f"{what} lost {n} x: {text}" for text, n in lost.items()] + [
        f"{what} {'doubled' if text in expected else 'uncalled for'} {n} x: {text}"
        for text, n in more.items()
    ]


def _writes(case: Case) -> list[str]:
    """Only the mirror and the address are written, and the mirror in the order of the entries.

    An entry that the log showed late may find a newer value there: that one stays.
    """
    ours = {MIRROR, URL}
    stamps = {"LastModifiedDate", "LastModifiedById", "SystemModstamp"}
    wrong = [
        f"wrote {sorted(set(one) - ours - stamps)}"
        for one in case.written
        if set(one) - ours - stamps
    ]
    entries = sorted(
        (e for i in case.incidents for e in i.log if not e.ours and e.agent_id and e.type in TOLD),
        key=lambda e: e.at,
    )
    written = [str(one[MIRROR]) for one in case.written if MIRROR in one]
    expected = Counter({e.told: 1 for e in entries})
    told = Counter(written)
    overtaken = {
        e.told for e in entries if e.late and any(o.at > e.at and o.told in told for o in entries)
    }
    wrong += [f"mirror value lost: {text}" for text in expected - told if text not in overtaken]
    # Two entries that read the same and one between them: the value is written, changed and written again.
    often = Counter(e.told for e in entries)
    wrong += [f"mirror value doubled: {text}" for text in told - often]
    stamps_written = [text.rpartition(" at ")[2] for text in written]
    late = stamps_written != sorted(stamps_written)
    if late:
        wrong.append(f"ORDER of the mirror: {written}")
    return wrong


def _texts(case: Case) -> list[str]:
    """The comments of people on a Case."""
    return [body for body, by_us in case.comments if not by_us]


def _notes(case: Case, incident: Incident) -> list[str]:
    """What is noted on an incident is called for, and once."""
    tokens = {one.token for one in case.edits}
    rises = {one.token for one in _rises(case)}
    allowed = {f"Edit {t}" for t in tokens} | {f"Paged at {t}" for t in tokens if rises}
    allowed |= {f"Resolution Note: Closed at {t}" for t in tokens}
    comments = _texts(case)
    found = Counter(
        next((c for c in comments if text.endswith(f"(Salesforce): {c}")), text)
        for text in incident.notes
        if "note#" not in text and "resolution#" not in text
    )
    wrong = [f"note uncalled for: {t}" for t in found if t not in allowed and t not in comments]
    wrong += [f"note {n} x: {text}" for text, n in found.items() if n > 1]
    return wrong


def _notes_there(case: Case) -> list[str]:
    """What must have crossed did: the comments of people, and what stood in the record at the end."""
    linked = [one for one in case.incidents if one.ours] or case.made_by_us
    if not linked:
        return []
    notes = [text for one in case.incidents for text in one.notes]
    wrong = [f"comment did not cross: {c}" for c in _texts(case) if not any(c in n for n in notes)]
    first = next(
        (n for n, one in enumerate(case.edits) if one.fields.get("Priority") == "High"), None
    )
    if (
        case.edits
        and (case.made_by_us or first is not None)
        and f"Edit {case.row[TOKEN]}" not in notes
    ):
        wrong.append(f"the last edit ({case.row[TOKEN]}) was not noted")
    return wrong


def _final(case: Case) -> list[str]:
    """The two sides agree where nobody touched them since."""
    wrong = []
    entries = sorted(
        (e for i in case.incidents for e in i.log if not e.ours and e.agent_id and e.type in TOLD),
        key=lambda e: e.at,
    )
    last = {e.told for e in entries if e.at == entries[-1].at}
    if last and case.row[MIRROR] not in last:
        wrong.append(f"the mirror is {case.row[MIRROR]}, not {sorted(last)}")
    urls = [i.id for i in case.incidents if i.ours]
    if urls and str(case.row[URL] or "").rpartition("/")[2] not in [i.id for i in case.incidents]:
        wrong.append(f"the address is {case.row[URL]}")
    for one in case.incidents:
        people = [item["assignee"]["id"] for item in one.doc["assignments"]]
        if OUR_USER in people:
            wrong.append(f"incident {one.id} is assigned to our user")
    return wrong


def _of_incidents(now: Truth) -> list[str]:
    """Each incident that a person opened by phone has one Case; every incident of ours has its Case."""
    subjects = Counter(case.title for case in now.cases)
    gone = Counter(now.deleted.values())
    wrong = []
    for one in now.incidents:
        cases = subjects[one.title]
        if one.title in gone:
            continue
        demanded = 1 if one.ours or one.service == PHONE_SERVICE else 0
        if cases != demanded:
            wrong.append(f"incident {one.id} ({one.title}, {one.service}): {cases} Cases")
        wrong += _statuses(one)
    return wrong


def _statuses(incident: Incident) -> list[str]:
    """Our user resolves, acknowledges and prioritises no more often than the Case asks for (checked by the caller)."""
    ours = Counter(e.type for e in incident.log if e.ours)
    odd = set(ours) - {
        "trigger", "assign", "acknowledge", "resolve", "annotate", "priority_change", "notify",
        "status_update", "responder_request",
    }  # fmt: skip
    return [f"incident {incident.id}: our user did {sorted(odd)}"] if odd else []


def links_wanted(now: Truth) -> set[tuple[str, str]]:
    """The (record id, incident id) that must be linked."""
    return {
        (case.id, one.id)
        for case in now.cases
        for one in case.incidents
        if one.ours or case.made_by_us
    }


def repeated(now: Truth) -> list[str]:
    """Our changes of one incident that the Case did not ask for that often."""
    wrong = []
    for case in now.cases:
        asked = {
            "acknowledge": sum(e.fields.get("Status") == "Working" for e in case.edits),
            "resolve": sum(e.fields.get("Status") == "Closed" for e in case.edits),
            "priority_change": sum(e.fields.get("Reason") in PRIORITIES for e in case.edits),
        }
        for one in case.incidents:
            done = Counter(e.type for e in one.log if e.ours)
            wrong += [
                f"incident {one.id}: {done[word]} x {word}, asked {times} x"
                for word, times in asked.items()
                if done[word] > times
            ]
            escalated = sum(e.fields.get("Status") == "Escalated" for e in case.edits)
            wrong += [
                f"incident {one.id}: {times} x {what}"
                for (incident_id, what), times in now.asked_once.items()
                if incident_id == one.id and times > (escalated if what == "instances" else 1)
            ]
    return wrong


def shown(now: Truth) -> str:
    """Both systems in words, for a failing seed."""
    lines: list[str] = []
    for case in now.cases:
        lines.append(f"Case {case.id} {case.title} {case.row['Priority']} {case.row['Status']}")
        lines += [f"    edit {json.dumps(one.fields)}" for one in case.edits]
        lines += [f"    wrote {one}" for one in case.written]
        lines += [f"    comment {body!r} {'ours' if ours else ''}" for body, ours in case.comments]
    for one in now.incidents:
        lines.append(f"Incident {one.id} {one.title} {one.service} {one.doc['status']}")
        lines += [f"    {e.at:%H:%M:%S} {e.type} by {e.agent}" for e in one.log]
        lines += [f"    note {text!r}" for text in one.notes]
    return "\n".join(lines)


def sorted_lines(lines: Sequence[str]) -> str:
    """Lines as one text."""
    return "\n".join(f"  - {one}" for one in lines)
