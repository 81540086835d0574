"""What people do, at random: on Cases in Salesforce, on incidents in PagerDuty, each leaving a text of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.pagerduty import incidents as stored
from sandbox.pagerduty.shapes import Refusal
from sandbox.salesforce.errors import ApiError
from sandbox.world import World
from tests.chaos.clock import VirtualClock
from tests.chaos.rules import PHONE_SERVICE, TOKEN

AGENTS = ("sam.agent@acme.example", "robin.agent@acme.example")
RESPONDERS = ("Ana Lopez", "Ben Okafor", "Chiara Rossi")


@dataclass(slots=True)
class People:
    """Acts on both systems; `story` is told what happened, in order."""

    sandbox: World
    clock: VirtualClock
    rng: Random
    story: list[str]
    cases: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    counter: int = 0

    def token(self, what: str) -> str:
        """A text that nobody wrote before."""
        self.counter += 1
        return f"{what}#{self.counter}#"

    def act(self) -> None:
        """One person does one thing."""
        acts: list[Callable[[], str | None]] = [
            self._new_case, self._raise, self._edit, self._edit, self._status, self._status,
            self._comment, self._comment, self._reason, self._late_commit, self._touch,
            self._new_incident, self._acknowledge, self._acknowledge, self._resolve,
            self._note, self._note, self._priority, self._urgency, self._reassign, self._reopen,
            self._escalate, self._delete,
        ]  # fmt: skip
        if not self.cases:
            acts = [self._new_case]
        for _ in range(4):
            done = self._tried(self.rng.choice(acts))
            if done:
                self.story.append(f"{self.clock():%H:%M:%S.%f} {done}")
                break
        # Mostly a new second begins; sometimes much happens in one.
        self.clock.pass_(self.rng.choice((0.0, 1.0, 1.0, 2.3, 7.0)))

    def let_commit(self) -> None:
        """The open transactions in Salesforce commit."""
        for number in list(self.sandbox.salesforce.org.held.open):
            self.sandbox.salesforce.faults.release(number)
        self.held.clear()

    def _tried(self, act: Callable[[], str | None]) -> str | None:
        try:
            return act()
        except (
            ApiError,
            Refusal,
        ):  # a locked row, an incident resolved meanwhile: not allowed, so not done
            return None

    # Salesforce

    def _new_case(self) -> str:
        subject = self.token("case")
        fields = {
            "Subject": subject,
            TOKEN: self.token("t"),
            "Priority": self.rng.choice(("High", "High", "Medium", "Low")),
            "Status": "New",
            "Origin": "Web",
        }
        case_id = self.sandbox.salesforce.create("Case", fields, by=self.rng.choice(AGENTS))
        self.cases.append(case_id)
        return f"Case {case_id} is created: {fields}"

    def _case(self) -> str:
        known = {one["Id"] for one in self.sandbox.salesforce.records("Case")}
        if not known:
            raise ApiError(400, "NOTHING", "there is no Case any more")
        return str(self.rng.choice(sorted(known)))

    def _write(self, **fields: Any) -> str:
        case_id = self._case()
        fields[TOKEN] = self.token("t")
        self.sandbox.salesforce.update(case_id, fields, by=self.rng.choice(AGENTS))
        return f"Case {case_id} is edited: {fields}"

    def _raise(self) -> str:
        return self._write(Priority=self.rng.choice(("High", "High", "Low")))

    def _edit(self) -> str:
        return self._write()

    def _status(self) -> str:
        return self._write(Status=self.rng.choice(("Working", "Working", "Closed", "Escalated")))

    def _escalate(self) -> str:
        return self._write(Status="Escalated")

    def _delete(self) -> str | None:
        """Now and then a Case goes, with its comments; its incidents stay."""
        if self.rng.random() < 0.7:
            return None
        case_id = self._case()
        self.sandbox.salesforce.delete(case_id, by=self.rng.choice(AGENTS))
        return f"Case {case_id} is deleted"

    def _reason(self) -> str:
        return self._write(Reason=self.rng.choice(("Breakdown", "Performance", "Other")))

    def _comment(self) -> str:
        case_id, body = self._case(), self.token("comment")
        public = self.rng.random() < 0.5
        by = self.rng.choice(AGENTS)
        self.sandbox.salesforce.comment(case_id, body, public=public, by=by)
        return f"Case {case_id} is commented: {body}"

    def _touch(self) -> str:
        case_id = self._case()
        self.sandbox.salesforce.touch([case_id])
        return f"Case {case_id} is touched"

    def _late_commit(self) -> str:
        """A transaction that is stamped now and committed much later."""
        after = self.rng.choice((3.0, 20.0, 90.0))
        fields: dict[str, Any] = {TOKEN: self.token("t")}
        if self.rng.random() < 0.4:
            fields |= {"Subject": self.token("case"), "Priority": "High", "Status": "New"}
            write: dict[str, Any] = {"object": "Case", "fields": fields}
        else:
            fields |= self.rng.choice(({}, {"Status": "Working"}, {"Priority": "High"}))
            write = {"id": self._case(), "fields": fields}
        by = self.rng.choice(AGENTS)
        number, ids = self.sandbox.salesforce.faults.hold([write], by=by, release_after=after)
        self.held.append(number)
        return f"Case {ids[0]} is written by a transaction that commits in {after} s: {fields}"

    # PagerDuty

    def _incident(self, *statuses: str) -> str:
        search = stored.Search(statuses=statuses)
        found = stored.search(self.sandbox.pagerduty, search, 0, 1000)
        if not found:
            raise ApiError(400, "NOTHING", "there is no such incident")
        return str(self.rng.choice(found)["id"])

    def _anybody(self) -> Any:
        return self.sandbox.person(self.rng.choice(RESPONDERS))

    def _new_incident(self) -> str:
        title = self.token("incident")
        service = self.rng.choice((PHONE_SERVICE, PHONE_SERVICE, "Checkout"))
        made = self._anybody().create_incident(service, title)
        return f"Incident {made['id']} is created on {service}: {title}"

    def _acknowledge(self) -> str:
        incident_id = self._incident("triggered")
        self._anybody().acknowledge(incident_id)
        return f"Incident {incident_id} is acknowledged"

    def _resolve(self) -> str:
        incident_id = self._incident("triggered", "acknowledged")
        text = self.token("resolution") if self.rng.random() < 0.4 else None
        self._anybody().resolve(incident_id, text)
        return f"Incident {incident_id} is resolved: {text}"

    def _reopen(self) -> str:
        incident_id = self._incident("resolved")
        self._anybody().reopen(incident_id)
        return f"Incident {incident_id} is re-opened"

    def _note(self) -> str:
        incident_id, text = self._incident(), self.token("note")
        self._anybody().add_note(incident_id, text)
        return f"Incident {incident_id} is noted: {text}"

    def _priority(self) -> str:
        incident_id, name = (
            self._incident("triggered", "acknowledged"),
            self.rng.choice(("P1", "P2", "P3", "P4")),
        )
        self._anybody().set_priority(incident_id, name)
        return f"Incident {incident_id} gets priority {name}"

    def _urgency(self) -> str:
        incident_id, word = (
            self._incident("triggered", "acknowledged"),
            self.rng.choice(("high", "low")),
        )
        self._anybody().set_urgency(incident_id, word)
        return f"Incident {incident_id} gets urgency {word}"

    def _reassign(self) -> str:
        incident_id, who = self._incident("triggered", "acknowledged"), self.rng.choice(RESPONDERS)
        self._anybody().reassign(incident_id, who)
        return f"Incident {incident_id} is assigned to {who}"
