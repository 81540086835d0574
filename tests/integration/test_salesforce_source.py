"""The fields that `salesforce/` deploys make the creation of a record exactly one, and it is told where they lack."""

from typing import Any

import pytest

from pd_sf_rules.cli.connecting import connect
from pd_sf_rules.cli.main import main
from pd_sf_rules.pipeline.doctor import checks
from pd_sf_rules.pipeline.status import status
from pd_sf_rules.settings import load_integrations
from tests.contract.salesforce_clients import Rest, log_in
from tests.integration.pipeline_world import PipelineWorld, event_is, mirror
from tests.integration.salesforce_source import SOURCE, deploy, package, zipped

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

ID = "PagerDuty_Incident_Id__c"
NAMES = [ID, "PagerDuty_Incident_URL__c", "PagerDuty_Status__c"]
BORN: dict[str, Any] = {"create_record": {"fields": {"Subject": "{{ incident.title }}"}}}


@pytest.fixture
def bare(world: PipelineWorld) -> PipelineWorld:
    """A world whose org has none of our fields, with a rule that creates a Case for each incident."""
    org = world.sandbox.salesforce.org
    case = org.schema.get("Case")
    assert case is not None
    org.define(case.without_fields(NAMES))
    world.rules(mirror("Born", event_is("trigger"), BORN))
    world.sync()
    return world


def client_of(world: PipelineWorld) -> Rest:
    """The integration user, logged in."""
    return log_in(world.sandbox)


def looks(world: PipelineWorld, text: str) -> int:
    """How many queries held a text."""
    return sum(
        text in one.path + str(one.query) for one in world.sandbox.traffic.requests("salesforce")
    )


def test_the_source_deploys_and_its_fields_can_be_used(bare: PipelineWorld) -> None:
    """After the deploy the integration user sees a unique, case-sensitive external id that it may fill in."""
    with client_of(bare) as client:
        result = deploy(client, package(), rollbackOnError=True)
        assert (result["status"], result["details"]["componentFailures"]) == ("Succeeded", [])
        described = client.call("GET", "sobjects/Case/describe").json()["fields"]
    fields = {one["name"]: one for one in described}
    one = fields[ID]
    assert all(one[word] for word in ("unique", "externalId", "caseSensitive", "createable"))
    assert [v["value"] for v in fields["PagerDuty_Status__c"]["picklistValues"]] == [
        "triggered",
        "acknowledged",
        "resolved",
    ]
    assert fields["PagerDuty_Incident_URL__c"]["type"] == "url"


def test_a_field_without_its_permission_set_stays_hidden(bare: PipelineWorld) -> None:
    """The permission set is what lets the integration user see the new fields."""
    whole = "".join(
        (SOURCE / "objects/Case/fields" / f"{ID}.field-meta.xml")
        .read_text()
        .partition("?>")[2]
        .replace("CustomField", "fields")
        .replace(' xmlns="http://soap.sforce.com/2006/04/metadata"', "")
    )
    body = f'<CustomObject xmlns="http://soap.sforce.com/2006/04/metadata">{whole}</CustomObject>'
    raw = zipped({"package.xml": b"<Package/>", "objects/Case.object": body.encode()})
    with client_of(bare) as client:
        assert deploy(client, raw)["success"]
        described = client.call("GET", "sobjects/Case/describe").json()["fields"]
    assert ID not in {one["name"] for one in described}


def test_a_required_field_in_a_permission_set_is_refused(bare: PipelineWorld) -> None:
    """The sandbox refuses what an org refuses, so that the deploy of our own set means something."""
    text = (SOURCE / "permissionsets/PagerDuty_Sync.permissionset-meta.xml").read_text()
    raw = zipped(
        {
            "package.xml": b"<Package/>",
            "permissionsets/P.permissionset": text.replace("Case.Priority", "Case.Status").encode(),
        }
    )
    with client_of(bare) as client:
        told = [one["problem"] for one in deploy(client, raw)["details"]["componentFailures"]]
    assert "You cannot deploy to a required field: Case.Status" in told


@pytest.mark.parametrize("fault", ["reset_after", "malformed_json", "reset_before"])
@pytest.mark.parametrize("deployed", [True, False], ids=["deployed", "bare"])
def test_a_lost_record_is_one_record(bare: PipelineWorld, fault: str, *, deployed: bool) -> None:
    """With the field a lost creation is settled by its id, without it by values: one Case either way."""
    if deployed:
        with client_of(bare) as client:
            assert deploy(client, package())["success"]
    bare.fault(fault, "salesforce", "POST", "/sobjects/Case")
    incident = bare.ana().create_incident("Renewals", "New outage")
    bare.sync()
    bare.settle()
    (case,) = bare.cases()
    assert case.get(ID) == (incident["id"] if deployed else None)
    assert [one.incident_id for one in bare.links_of(case["Id"])] == [incident["id"]]
    assert (looks(bare, "CreatedById") == 0) is deployed


def test_a_record_that_carries_the_id_is_adopted(world: PipelineWorld) -> None:
    """A Case that somebody made for the incident is linked, not doubled, and stays as it is."""
    world.rules(mirror("Born", event_is("trigger"), BORN))
    world.sync()
    incident = world.ana().create_incident("Renewals", "New outage")
    case_id = world.case("By hand", **{ID: incident["id"]})
    world.sync()
    world.settle()
    assert [one["Subject"] for one in world.cases()] == ["By hand"]
    assert [one.incident_id for one in world.links_of(case_id)] == [incident["id"]]
    assert "adopted" in world.action("create_record").message


def test_a_record_that_is_hidden_is_waited_for(world: PipelineWorld) -> None:
    """A Case that carries the id and that the sync's user may not see holds the action back, in words."""
    world.rules(mirror("Born", event_is("trigger"), BORN))
    world.sync()
    world.hurry()
    incident = world.ana().create_incident("Renewals", "New outage")
    case_id = world.case("Hidden", **{ID: incident["id"]})
    world.sandbox.salesforce.faults.hide_record(case_id)
    world.sync()
    action = world.action("create_record")
    assert (action.state, len(world.cases())) == ("pending", 1)
    assert "does not see" in action.message


def test_a_record_that_becomes_visible_late_is_adopted(world: PipelineWorld) -> None:
    """A creation that Salesforce has taken and not yet committed cannot be doubled: the next look finds it."""
    world.rules(mirror("Born", event_is("trigger"), BORN))
    world.sync()
    world.hurry()
    incident = world.ana().create_incident("Renewals", "New outage")
    late = {"object": "Case", "fields": {"Subject": "Late", ID: incident["id"]}}
    number, (case_id,) = world.sandbox.salesforce.faults.hold([late])
    world.sync()
    assert world.action("create_record").state == "pending"
    world.sandbox.salesforce.faults.release(number)
    world.settle(3)
    assert [one["Id"] for one in world.cases()] == [case_id]
    assert [one.incident_id for one in world.links_of(case_id)] == [incident["id"]]


def test_several_records_for_an_incident_carry_no_id(world: PipelineWorld) -> None:
    """Where a rule asks for another record each time, no record claims to be the only one."""
    again = {"create_record": {**BORN["create_record"], "when_linked": "create"}}
    world.rules(
        mirror("Born", event_is("trigger"), BORN), mirror("Again", event_is("trigger"), again)
    )
    world.sync()
    incident = world.ana().create_incident("Renewals", "New outage")
    world.sync()
    world.settle()
    assert sorted(str(one[ID]) for one in world.cases()) == sorted([incident["id"], "None"])


def test_a_field_that_was_closed_since_costs_one_try(world: PipelineWorld) -> None:
    """When the permission is taken away, the next try goes without the field."""
    world.rules(mirror("Born", event_is("trigger"), BORN))
    world.ana().create_incident("Renewals", "First")
    world.sync()
    world.ana().create_incident("Renewals", "Before")
    world.sync()
    world.sandbox.salesforce.faults.set_access("Case", ID, "read")
    world.ana().create_incident("Renewals", "After")
    world.sync()
    world.settle()
    found = {one["Subject"]: one[ID] for one in world.cases()}
    assert (bool(found["Before"]), found["After"]) == (True, None)


def test_the_doctor_says_where_the_field_lacks(bare: PipelineWorld) -> None:
    """One sentence, no fault: the sync works without the field."""
    wanted = list(load_integrations().values())
    found = status(bare.ledger, wanted, connect)
    said = [one for one in checks(bare.ledger, wanted, connect, found) if "incident id" in one.name]
    assert [one.ok for one in said] == [True]
    assert "Deploy salesforce/" in said[0].said
    with client_of(bare) as client:
        deploy(client, package())
    assert not any("incident id" in one.name for one in checks(bare.ledger, wanted, connect, found))


def test_status_and_lint_say_it_too(
    bare: PipelineWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pdsf status` knows it from the last creation, `pdsf lint --live` from describe; neither calls it a fault."""
    bare.ana().create_incident("Renewals", "New outage")
    bare.sync()
    for command in (["status"], ["lint", "--live"]):
        assert main(command) == 0
        assert f"unique external id {ID}" in capsys.readouterr().out
