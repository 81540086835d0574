"""The story that the demo plays: what a person does on one side, and what must then be seen on the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.pagerduty import incidents, notes, rendering
from sandbox.world import World

Row = Mapping[str, Any]

SUBJECT = "Checkout is down in the EU"
COMMENT = "The customer says that card payments fail since 09:40."
NOTE = "The payment provider confirms an outage. Failing over."
BORN_TITLE = "Error rate of the checkout API above 5 %"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a person does, and the effects that prove it arrived; each is looked for until it is seen."""

    says: str
    act: Callable[["Stage"], None]
    sees: Mapping[str, Callable[["Stage"], bool]]


@dataclass(slots=True)
class Stage:
    """Both simulated sides, and the records the story is about."""

    world: World
    case_id: str = ""
    incident_id: str = ""
    born_id: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def case(self, record_id: str) -> Row:
        """Return one Case as it stands."""
        return self.world.salesforce.record(record_id)

    def cases(self) -> Sequence[Row]:
        """Return every Case."""
        return self.world.salesforce.records("Case")

    def comments(self) -> Sequence[Row]:
        """Return every Case comment."""
        return self.world.salesforce.records("CaseComment")

    def incidents(self) -> Sequence[Row]:
        """Return every incident as the API shows it."""
        found = incidents.search(self.world.pagerduty, incidents.Search(), 0, 1000)
        return [rendering.incident(self.world.pagerduty, one) for one in found]

    def incident(self) -> Row:
        """Return the story's incident."""
        return next((one for one in self.incidents() if one["id"] == self.incident_id), {})

    def notes(self) -> list[str]:
        """Return the texts of the notes on the story's incident."""
        return [
            str(n["content"]) for n in notes.of_incident(self.world.pagerduty, self.incident_id)
        ]


def _open_case(stage: Stage) -> None:
    account = stage.world.salesforce.records("Account")[0]
    fields = {"Subject": SUBJECT, "Priority": "High", "Status": "New", "Origin": "Phone"}
    stage.case_id = stage.world.salesforce.create("Case", {**fields, "AccountId": account["Id"]})
    stage.names["case"] = str(stage.case(stage.case_id)["CaseNumber"])


def _paged(stage: Stage) -> bool:
    title = f"Case {stage.names['case']}: {SUBJECT}"
    found = next((one for one in stage.incidents() if one["title"] == title), None)
    if found is None:
        return False
    stage.incident_id = str(found["id"])
    stage.names["incident"] = f"#{found['incident_number']}"
    return True


def _is_right(stage: Stage) -> bool:
    one = stage.incident()
    priority = (one.get("priority") or {}).get("summary")
    return (one["service"]["summary"], priority, one["urgency"]) == ("Support P1", "P1", "high")


def _leads_back(stage: Stage) -> bool:
    body = stage.incident().get("body") or {}
    return stage.case_id in str(body.get("details"))


def _acknowledge(stage: Stage) -> None:
    stage.world.person("Ana Lopez").acknowledge(stage.incident_id)


def _ana_still_has_it(stage: Stage) -> bool:
    holders = [a["assignee"]["summary"] for a in stage.incident()["assignments"]]
    return stage.incident()["status"] == "acknowledged" and holders == ["Ana Lopez"]


def _write_note(stage: Stage) -> None:
    stage.world.person("Ana Lopez").add_note(stage.incident_id, NOTE)


def _write_comment(stage: Stage) -> None:
    stage.world.salesforce.comment(stage.case_id, COMMENT)


def _close_case(stage: Stage) -> None:
    stage.world.salesforce.update(stage.case_id, {"Status": "Closed"})


def _resolved(stage: Stage) -> bool:
    return bool(stage.incident()["status"] == "resolved")


def _raise_incident(stage: Stage) -> None:
    made = stage.world.person("Ben Okafor").create_incident("Checkout", BORN_TITLE)
    stage.born_id = str(made["id"])


def _commented(stage: Stage, text: str) -> bool:
    return any(
        text in str(c["CommentBody"]) and c["IsPublished"] is False for c in stage.comments()
    )


def _case_is(status: str) -> Callable[[Stage], bool]:
    return lambda stage: bool(stage.case(stage.case_id)["Status"] == status)


def _case_born(stage: Stage) -> bool:
    return [c["Subject"] for c in stage.cases()].count(BORN_TITLE) == 1


STORY = (
    Step(
        "Salesforce: a customer's High Case is opened",
        _open_case,
        {
            "PagerDuty: the people on call are paged": _paged,
            "PagerDuty: on Support P1, priority P1, urgency high": _is_right,
            "PagerDuty: its text leads back to the Case": _leads_back,
        },
    ),
    Step(
        "PagerDuty: Ana acknowledges the incident",
        _acknowledge,
        {
            "Salesforce: the Case is Working": _case_is("Working"),
            "PagerDuty: Ana still has it": _ana_still_has_it,
        },
    ),
    Step(
        "PagerDuty: Ana writes a note",
        _write_note,
        {"Salesforce: it is an internal comment, with her name": lambda s: _commented(s, NOTE)},
    ),
    Step(
        "Salesforce: support writes a comment",
        _write_comment,
        {"PagerDuty: it is a note": lambda s: any(COMMENT in note for note in s.notes())},
    ),
    Step(
        "Salesforce: the Case is closed",
        _close_case,
        {"PagerDuty: the incident is resolved": _resolved},
    ),
    Step(
        "PagerDuty: an incident on Checkout that no Case knows",
        _raise_incident,
        {"Salesforce: a Case was opened for it": _case_born},
    ),
)
