"""The doctor warns when the sync's users may do far more than the sync needs."""

import json

import pytest

from pd_sf_rules.pipeline.checks import Check
from pd_sf_rules.pipeline.opening import connect_from_environment
from pd_sf_rules.pipeline.privileges import too_wide
from pd_sf_rules.settings import Integration
from sandbox.pagerduty.state import ApiKey
from tests.integration.pipeline_world import (
    OUR_PAGERDUTY_USER,
    OUR_SALESFORCE_USER,
    PipelineWorld,
)

pytest_plugins = ["tests.integration.ledger_databases", "tests.integration.pipeline_fixtures"]

BOTH = ("salesforce", "pagerduty")


def warnings(world: PipelineWorld, reached: tuple[str, ...] = BOTH) -> list[Check]:
    """What the doctor says of the rights of both users."""
    default = Integration(name="default")
    return list(too_wide(world.ledger, default, connect_from_environment, reached))


def test_enough_is_nothing_to_speak_of(world: PipelineWorld) -> None:
    """Users with what the guides give them are no warning."""
    assert warnings(world) == []


def test_an_administrator_of_the_org_is_told(world: PipelineWorld) -> None:
    """Rights over the whole org are named in Salesforce's words, as a warning that breaks nothing."""
    world.sandbox.salesforce.org.settings.modify_all.append(OUR_SALESFORCE_USER)
    (check,) = warnings(world)
    assert (check.name, check.ok, check.warning) == ("default: salesforce rights", True, True)
    assert "Modify All Data, View All Data, Manage Users and Customize Application" in check.said
    assert "PagerDuty_Sync" in check.said


@pytest.mark.parametrize(("role", "said"), [("admin", "Global Admin"), ("owner", "Account Owner")])
def test_an_administrator_of_the_account_is_told(
    world: PipelineWorld, role: str, said: str
) -> None:
    """The user that writes are made as may change everything."""
    store = world.sandbox.pagerduty.store
    ours = store.get("user", OUR_PAGERDUTY_USER)
    assert ours is not None
    store.put("user", {**ours, "role": role})
    (check,) = warnings(world)
    assert check.name == "default: pagerduty rights"
    assert check.warning
    assert f"The sync's user is {said}." in check.said


def test_a_personal_key_is_its_owners(
    world: PipelineWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a user's own key that user counts, whoever the `from_email` is."""
    pagerduty = world.sandbox.pagerduty
    admin = next(one for one in pagerduty.store.all("user") if one["role"] == "admin")
    pagerduty.keys["key-of-an-admin"] = ApiKey(user_id=str(admin["id"]))
    made = {**world.sandbox.pagerduty_connection(), "password": "key-of-an-admin"}
    monkeypatch.setenv("AIRFLOW_CONN_PAGERDUTY_DEFAULT", json.dumps(made))
    (check,) = warnings(world)
    assert "The sync's user is Global Admin." in check.said


def test_a_side_that_does_not_answer_is_not_asked(world: PipelineWorld) -> None:
    """What could not be reached just before is left alone; a refused question is no finding."""
    world.sandbox.salesforce.org.settings.modify_all.append(OUR_SALESFORCE_USER)
    assert warnings(world, ()) == []
    world.fault("unauthorized", "salesforce", "GET", "/query", times=None)
    assert warnings(world) == []
