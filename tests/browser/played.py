"""What people do in the world that the api-server shows, and what its pages and its audit log then hold."""

import hmac
import json
import sqlite3
import time
from contextlib import closing
from typing import Any

from tests.browser.serving import Site
from tests.integration.pipeline_world import PipelineWorld

HOSTILE = '<script>alert(1)</script> "=HYPERLINK(0)" \u202eمرحبا\u202c 🔥'
REFUSED = {"error": {"message": "Arguments Caused Error", "errors": ["Title is cursed"]}}


def escalated(world: PipelineWorld, *subjects: str) -> list[str]:
    """Cases that people create and escalate, one pass before and one after; their ids."""
    ids = [world.case(subject, Priority="Low") for subject in subjects]
    world.sync("salesforce")
    for case_id in ids:
        world.edit(case_id, Priority="High", Status="Escalated")
    world.sync()
    return ids


def refused(world: PipelineWorld, *subjects: str) -> list[str]:
    """Escalated Cases whose incidents PagerDuty refuses for good."""
    fault = world.fault(
        "answer", "pagerduty", "POST", "^/incidents$", times=None, status=400, body=REFUSED
    )
    ids = escalated(world, *subjects)
    world.sandbox.faults.remove(fault)
    return ids


def incident_of(world: PipelineWorld, case_id: str) -> str:
    """The incident of a Case."""
    (link,) = world.links_of(case_id)
    return link.incident_id


def own_token(person: str) -> str:
    """The anti-forgery token as the server makes it: HMAC of the name and the day with Airflow's secret key."""
    text = f"pd-sf-rules\n{int(time.time() // 86_400)}\n{person}"
    return hmac.new(b"only-for-tests", text.encode(), "sha256").hexdigest()


def audited(site: Site) -> list[tuple[str, str, dict[str, Any]]]:
    """What our pages wrote into Airflow's audit log, newest first: (event, who, what else)."""
    query = "SELECT event, owner, extra FROM log WHERE event LIKE 'pdsf.%' ORDER BY id DESC"
    with closing(sqlite3.connect(site.home / "airflow.db", timeout=20)) as c:
        return [(event, who, json.loads(extra)) for event, who, extra in c.execute(query)]
