"""The simulated org as tests and the sandbox's own pages use it, in process."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.salesforce import dml, oauth, seed
from sandbox.salesforce.domain_faults import DomainFaults
from sandbox.salesforce.ids import normalise
from sandbox.salesforce.org import Actor, Org, utc_now
from sandbox.salesforce.rest import ApiCall, ApiReply, answer
from sandbox.salesforce.rest_query import Locators
from sandbox.salesforce.rest_rows import print_row
from sandbox.salesforce.routes import ROUTES
from sandbox.salesforce.schema import Row
from sandbox.salesforce.sessions import Sessions, Usage
from sandbox.salesforce.settings import ConnectedApp
from sandbox.salesforce.soql.execution import run
from sandbox.salesforce.store import Change

API_VERSION = "67.0"


class SalesforceState:
    """One simulated org. Every method is safe to call from any thread.

    ``path`` is the SQLite file the org lives in (None: memory only); ``clock`` gives the time.
    A new org is planted with users, accounts and contacts, and no Cases. Where a method takes
    ``by``, that is the username (or user id) of the person who does it in the browser.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], datetime] = utc_now) -> None:
        self.org = Org(path, clock)
        self._start()

    def _start(self) -> None:
        self.sessions = Sessions(self.org)
        self.usage = Usage(self.org)
        self.locators = Locators()
        self.faults = DomainFaults(self)
        self.deploys: dict[str, dict[str, Any]] = {}
        if not self.org.store.table("User"):
            seed.plant(self)

    def close(self) -> None:
        """Close the file; the state must not be used afterwards."""
        self.org.close()

    def reset(self) -> None:
        """Return to a newly planted org; apps, sessions and logs go too."""
        with self.org.lock:
            self.org.wipe()
            self._start()

    def seed_demo(self) -> None:
        """Add a handful of everyday records, written two days ago."""
        seed.plant_demo(self)

    # as a person

    def person(self, by: str | None = None) -> Actor:
        """Return the person who acts: by default the admin. Raises LookupError if unknown."""
        return self.org.actor(by or seed.ADMIN, person=True)

    def create(self, name: str, fields: Mapping[str, Any], by: str | None = None) -> str:
        """Create a record and return its id. Raises ApiError as the API would."""
        with self.at_work():
            return dml.create(self.org, self.person(by), name, fields)

    def update(self, record_id: str, fields: Mapping[str, Any], by: str | None = None) -> None:
        """Change a record. Raises ApiError."""
        with self.at_work():
            dml.update(self.org, self.person(by), self.id(record_id), fields)

    def delete(self, record_id: str, by: str | None = None) -> None:
        """Move a record to the recycle bin. Raises ApiError."""
        with self.at_work():
            dml.delete(self.org, self.person(by), self.id(record_id))

    def undelete(self, record_id: str, by: str | None = None) -> None:
        """Bring a record back from the recycle bin with its old id, and what went with it."""
        with self.at_work(), self.org.store.transaction():
            row, name = self._row(record_id)
            who = self.person(by).username
            for child_id in dml.deleted_along(self.org, name, row):
                self.rewrite(child_id, {"IsDeleted": False}, who)
            self.rewrite(record_id, {"IsDeleted": False}, who)

    def purge(self, record_id: str, by: str | None = None) -> None:
        """Delete a record for good: no query shows it any more."""
        with self.at_work(), self.org.store.transaction():
            row, name = self._row(record_id)
            who, at = self.person(by).username, self.org.exact_now()
            self.org.store.put(Change(name, str(row["Id"]), row, None, who, at))

    def comment(
        self, case_id: str, body: str, *, public: bool = False, by: str | None = None
    ) -> str:
        """Add a CaseComment and return its id."""
        fields = {"ParentId": self.id(case_id), "CommentBody": body, "IsPublished": public}
        return self.create("CaseComment", fields, by)

    def touch(self, record_ids: Iterable[str]) -> None:
        """Move SystemModstamp without any change, as Salesforce's own jobs do."""
        with self.at_work(), self.org.store.transaction():
            for each in record_ids:
                self.rewrite(each, {"SystemModstamp": self.org.now()}, "system")

    # looking

    def record(self, record_id: str) -> dict[str, Any]:
        """Return a record as the API prints it, deleted ones too. Raises LookupError if purged."""
        with self.at_work():
            row, name = self._row(record_id)
            sobject = dml.visible_object(self.org, self.person(), name)
            return print_row(sobject, row, API_VERSION)

    def records(self, name: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """Return all records of an object as the API prints them."""
        with self.at_work():
            sobject = dml.visible_object(self.org, self.person(), name)
            rows = self.org.rows(sobject.name, self.person(), deleted=deleted)
            return [print_row(sobject, row, API_VERSION) for row in rows]

    def soql(self, text: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """Run a query that sees everything and return all its records."""
        with self.at_work():
            result = run(self.org, self.person(), text, API_VERSION, deleted=deleted)
            return result.page(0, result.total)

    def writes(self) -> list[dict[str, Any]]:
        """Return the write requests received: method, path, body, by, at, status."""
        with self.org.lock:
            return self.org.disk.entries("write")

    def changes(self, record_id: str | None = None) -> list[dict[str, Any]]:
        """Return every committed row change: operation, object, id, by, at, fields."""
        with self.org.lock:
            found = self.org.disk.entries("change")
        wanted = self.id(record_id) if record_id else None
        return [each for each in found if wanted in {None, each["id"]}]

    def forget_writes(self) -> None:
        """Empty the list of write requests."""
        with self.org.lock:
            self.org.disk.forget("write")
            self.org.disk.commit()

    # logging in

    def register_app(self, app: ConnectedApp) -> None:
        """Add or replace a connected app. Raises ValueError for a certificate that is none."""
        if app.certificate:
            oauth.read_certificate(app.certificate)
        with self.org.lock:
            kept = [a for a in self.org.settings.apps if a.consumer_key != app.consumer_key]
            self.org.settings.apps = [*kept, app]
            self.org.save_settings()

    # the API itself

    def answer(self, call: ApiCall) -> ApiReply:
        """Answer one REST call of a logged-in user; composite parts come here too."""
        return answer(self, ROUTES, call)

    def note_write(self, call: ApiCall, status: int) -> None:
        """Keep a write request for tests to look at."""
        entry = {
            "method": call.method,
            "path": "/".join(("", *call.segments)),
            "query": dict(call.query),
            "body": call.body,
            "by": call.actor.username,
            "at": self.org.exact_now().isoformat(),
            "status": status,
        }
        self.org.disk.append("write", entry)
        self.org.disk.commit()

    def id(self, raw: str) -> str:
        """Return the 18-character form of a record id. Raises LookupError if it is none."""
        record_id = normalise(raw)
        if record_id is None:
            raise LookupError(f"{raw!r} is no Salesforce record id")
        return record_id

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the org's lock, after committing the transactions whose time has come."""
        with self.org.lock:
            self.org.held.release_due(self.org.exact_now())
            yield

    def rewrite(self, record_id: str, values: Row, by: str) -> None:
        """Change a row behind Salesforce's rules, inside a transaction of the store."""
        row, name = self._row(record_id)
        after = {**row, "SystemModstamp": self.org.now(), **values}
        self.org.store.put(Change(name, str(row["Id"]), row, after, by, self.org.exact_now()))

    def _row(self, record_id: str) -> tuple[Row, str]:
        row = self.org.row(self.id(record_id))
        sobject = self.org.schema.of_id(self.id(record_id))
        if row is None or sobject is None:
            raise LookupError(f"the simulated Salesforce has no record {record_id}")
        return row, sobject.name
