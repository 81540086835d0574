"""Case comments and incident notes: each crosses once, as far as the integration allows, and never comes back."""

import pytest

from pd_sf_rules.pipeline.apply import apply
from pd_sf_rules.planning.notes import COMMENT_BYTES
from sandbox.salesforce.seed import AGENT, API_USER
from tests.integration.pipeline_world import PipelineWorld, became, event_is, mirror, rule

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

CLOSED = became("Case.Status", "Closed")


def bodies(world: PipelineWorld, case_id: str) -> list[str]:
    """The comments of a Case, oldest first."""
    return [one["CommentBody"] for one in world.comments(case_id)]


def test_both_ways(both_worlds: PipelineWorld) -> None:
    """A comment becomes a note and a note a comment, attributed, internal, once."""
    world = both_worlds
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.sandbox.salesforce.comment(case_id, "The customer called", by=AGENT)
    world.ana().add_note(incident_id, "Restarting the database")
    world.sync()
    for _ in range(3):
        world.clock.pass_(seconds=20)
        world.settle()
    assert world.notes(incident_id) == [
        "Restarting the database",
        "Sam Agent (Salesforce): The customer called",
    ]
    assert bodies(world, case_id) == [
        "The customer called",
        "Ana Lopez (PagerDuty): Restarting the database",
    ]
    assert [one["IsPublished"] for one in world.comments(case_id)] == [False, False]


def test_off_by_default(world: PipelineWorld) -> None:
    """Without a word in the integration file nothing crosses."""
    case_id, incident_id = world.paged()
    world.sandbox.salesforce.comment(case_id, "hello")
    world.ana().add_note(incident_id, "hello")
    with world.silence():
        world.sync("salesforce", "pagerduty", "notes")


@pytest.mark.parametrize("to_pagerduty", [True, False])
def test_one_way(world: PipelineWorld, *, to_pagerduty: bool) -> None:
    """One direction can be on while the other is off."""
    world.cross_comments(
        to_pagerduty=to_pagerduty, to_salesforce=False if to_pagerduty else "public"
    )
    case_id, incident_id = world.paged()
    world.sandbox.salesforce.comment(case_id, "from Salesforce")
    world.ana().add_note(incident_id, "from PagerDuty")
    world.settle()
    assert len(world.notes(incident_id)) == (2 if to_pagerduty else 1)
    comments = world.comments(case_id)
    assert [one["IsPublished"] for one in comments] == ([False] if to_pagerduty else [False, True])


def test_a_first_start_copies_nothing_old(world: PipelineWorld) -> None:
    """Comments and notes from before the first start stay where they are."""
    case_id, incident_id = world.paged()
    world.sandbox.salesforce.comment(case_id, "old")
    world.ana().add_note(incident_id, "old")
    world.cross_comments()
    with world.silence():
        world.sync()
        world.sync()


def test_a_long_note_is_split_at_the_byte_limit(world: PipelineWorld) -> None:
    """A note of many bytes arrives as numbered comments that put together say the same."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    text = " ".join(f"line {n} 🚒 äöü" for n in range(600))
    world.ana().add_note(incident_id, text)
    world.settle()
    parts = bodies(world, case_id)
    assert len(parts) > 2
    assert all(len(part.encode()) <= COMMENT_BYTES for part in parts)
    assert all(part.startswith("Ana Lopez (PagerDuty): (") for part in parts)
    pieces = [part.split(f"({n}/{len(parts)}) ")[1] for n, part in enumerate(parts, 1)]
    assert " ".join(pieces).split() == text.split()


def test_an_attempt_that_breaks_off_between_parts_goes_on_behind_them(world: PipelineWorld) -> None:
    """Of a text in parts, those that arrived are not sent again when a later one fails at first."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.ana().add_note(incident_id, "word " * 2500)
    world.fault("rate_limited", "salesforce", "POST", "CaseComment", after=1, reset_seconds=1)
    world.settle()
    parts = bodies(world, case_id)
    assert len(parts) == len(set(parts)) > 2


def test_texts_that_rules_write_do_not_cross(world: PipelineWorld) -> None:
    """What add_note, post_comment and a resolution write stays where it was written."""
    world.cross_comments()
    case_id, incident_id = world.paged(
        rule("Note", became("Case.Status", "Working"), {"add_note": {"content": "by a rule"}}),
        mirror("Comment", event_is("acknowledge"), {"post_comment": {"body": "by a rule"}}),
        rule("Close", CLOSED, {"resolve_incident": {"resolution": "by a rule"}}),
    )
    world.edit(case_id, Status="Working")
    world.ana().acknowledge(incident_id)
    world.sync()
    world.edit(case_id, Status="Closed")
    world.sync()
    world.settle()
    assert bodies(world, case_id) == ["by a rule"]
    assert world.notes(incident_id) == ["by a rule", "Resolution Note: by a rule"]


def test_a_persons_resolution_note_crosses_once(world: PipelineWorld) -> None:
    """The text that a person resolves with becomes one comment."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.ana().resolve(incident_id, "Cable was loose")
    world.settle()
    (body,) = bodies(world, case_id)
    assert body.endswith("Cable was loose")
    assert body.startswith("Ana Lopez (PagerDuty): ")


def test_the_same_words_twice_cross_twice(world: PipelineWorld) -> None:
    """Two notes with the same text are two comments."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.ana().add_note(incident_id, "ping")
    world.ana().add_note(incident_id, "ping")
    world.settle()
    assert len(bodies(world, case_id)) == 2


def test_a_comment_made_before_the_link_crosses_when_there_is_one(world: PipelineWorld) -> None:
    """A comment on a Case whose incident comes a little later waits for it."""
    world.cross_comments()
    world.rules(rule("Page", became("Case.Status", "Escalated"), {"create_incident": {
        "service": "Support P1", "title": "{{ record.Subject }}"}}))  # fmt: skip
    world.sync()
    case_id = world.case()
    world.sandbox.salesforce.comment(case_id, "said before")
    told = world.sync()
    assert told.count("failed") == 0
    assert world.incidents() == []
    world.edit(case_id, Status="Escalated")
    world.sync()
    assert world.notes(world.incidents()[0]["id"]) == ["Pat Admin (Salesforce): said before"]


def test_a_comment_that_waits_for_its_pair_delays_no_pass(world: PipelineWorld) -> None:
    """A comment on a Case without an incident neither counts as failed nor keeps a pass waiting."""
    world.cross_comments()
    world.rules()
    world.sync()
    case_id = world.case()
    world.sandbox.salesforce.comment(case_id, "nobody's")
    world.sync()
    (waiting,) = world.actions("copy_comment_to_note")
    assert waiting.state == "pending"
    with world.run() as run:
        counts = apply(run, "notes", eager=True, patience=3600)
    assert counts["waiting"] == 1


def test_a_comment_by_the_integration_user_at_the_keyboard_crosses(world: PipelineWorld) -> None:
    """Only what this product wrote stays: a person who uses the sync's own login is heard."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    world.sandbox.salesforce.comment(case_id, "typed by hand", by=API_USER)
    world.settle()
    assert [one.split(": ")[1] for one in world.notes(incident_id)] == ["typed by hand"]


def test_a_note_that_cannot_cross_delays_no_resolve(world: PipelineWorld) -> None:
    """Copies have an order of their own: while they fail, the pair's actions go on."""
    world.cross_comments()
    case_id, incident_id = world.paged(rule("Close", CLOSED, {"resolve_incident": {}}))
    world.fault("server_error", "pagerduty", "POST", "/notes", times=None)
    world.sandbox.salesforce.comment(case_id, "hello")
    world.sync()
    world.edit(case_id, Status="Closed")
    world.sync("salesforce")
    assert world.incident(incident_id)["status"] == "resolved"


def test_notes_of_an_incident_that_is_gone_stop_nothing(world: PipelineWorld) -> None:
    """An incident whose notes cannot be found any more does not keep the others' notes from crossing."""
    world.cross_comments()
    case_id, incident_id = world.paged()
    other = world.ana().create_incident("Renewals", "Gone soon")
    world.ana().add_note(other["id"], "lost")
    missing = {"error": {"message": "Not Found", "code": 2100}}
    world.fault(
        "answer", "pagerduty", "GET", f"{other['id']}/notes", status=404, body=missing, times=None
    )
    world.ana().add_note(incident_id, "found")
    told = world.sync()
    assert told.errors == []
    assert len(bodies(world, case_id)) == 1
